// Path → Trace: recognises the format, then reads the file as a stream, whatever its size.

import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { TraceIdentity } from "../documents/report.ts";
import { ArrivalOrder, LateArrival } from "./arrivals.ts";
import { findTrace } from "./bundled-traces.ts";
import { ContentNumbers } from "./content-numbers.ts";
import type { TraceColumns } from "./own-columns.ts";
import { readRecords, type TraceRecord } from "./read-records.ts";
import { type RecognizedFormat, recognizeFormat } from "./recognize.ts";
import type { Trace, TraceRequest } from "./trace.ts";
import { TraceError } from "./trace-error.ts";
import { sha256Of } from "./trace-file.ts";
import type { TraceFormatName } from "./trace-formats.ts";

export interface TraceOptions {
  /** Instead of recognising the format from the content. */
  readonly format?: TraceFormatName | undefined;
  /** Instead of recognising it: which columns or keys of the file say when requests arrive and how long they are. */
  readonly columns?: TraceColumns | undefined;
  /** What the report calls the trace. Default: the file's name. */
  readonly name?: string | undefined;
  /** Only the first so many requests of the file. */
  readonly limit?: number | undefined;
  /** Arrival rate relative to the trace. Default 1. */
  readonly rate?: number | undefined;
  /** Spread requests that share a timestamp. Default false. */
  readonly spreadTicks?: boolean | undefined;
  /** Leave bad lines out and count them, instead of stopping at the first. Default false. */
  readonly skipInvalid?: boolean | undefined;
}

/**
 * Opens a trace file, gzip or not, or a bundled trace by its name where the bundled traces are (`findTrace`).
 * @throws TraceError, now or while reading, that names file, line, field and what was expected
 * @throws RangeError for a rate or limit that is not positive, columns beside a format or without one arrival
 */
export async function openTrace(fileOrName: string, options: TraceOptions = {}): Promise<Trace> {
  const { limit = Number.POSITIVE_INFINITY, rate = 1 } = options;
  if (!(rate > 0) || rate === Number.POSITIVE_INFINITY) {
    throw new RangeError(`rate is ${rate}, expected a number above 0`);
  }
  if (!(limit >= 1)) throw new RangeError(`limit is ${limit}, expected at least 1`);
  if (options.columns !== undefined && options.format !== undefined) {
    throw new RangeError(`format is ${options.format}, expected none beside columns`);
  }
  const { file, name } = existsSync(fileOrName) ? { file: fileOrName } : findTrace(fileOrName);
  const recognized = await recognizeFormat(file, options.format, options.columns);
  return new FileTrace(file, recognized, await sha256Of(file), { ...options, name: options.name ?? name, limit, rate });
}

class FileTrace implements Trace {
  readonly name: string;
  readonly format: RecognizedFormat["name"];
  readonly blockTokens: number;
  readonly rate: number;
  readonly #file: string;
  readonly #recognized: RecognizedFormat;
  readonly #sha256: string;
  readonly #options: TraceOptions & { readonly limit: number; readonly rate: number };
  #used = 0;
  #skipped = 0;
  #firstSkipped: TraceError | undefined;
  #failed = 0;
  #outOfOrder = 0;

  constructor(
    file: string,
    recognized: RecognizedFormat,
    sha256: string,
    options: TraceOptions & { readonly limit: number; readonly rate: number },
  ) {
    this.name = options.name ?? basename(file);
    this.format = recognized.name;
    this.blockTokens = recognized.blockTokens;
    this.rate = options.rate;
    this.#file = file;
    this.#recognized = recognized;
    this.#sha256 = sha256;
    this.#options = options;
  }

  identity(): TraceIdentity {
    return {
      name: this.name,
      format: this.format,
      sha256: this.#sha256,
      requestsUsed: this.#used,
      linesSkipped: this.#skipped,
    };
  }

  warnings(): string[] {
    const warnings: string[] = [];
    if (this.#firstSkipped !== undefined) {
      warnings.push(
        `${this.#skipped} invalid ${this.#skipped === 1 ? "line" : "lines"} skipped, the first: ${this.#firstSkipped.message}`,
      );
    }
    if (this.#failed > 0) {
      warnings.push(
        `${this.#failed.toLocaleString("en-US")} ${this.#failed === 1 ? "request" : "requests"} left out that failed when the trace was recorded`,
      );
    }
    if (this.#outOfOrder > 0) warnings.push(outOfOrderWarning(this.#outOfOrder));
    return warnings;
  }

  async *chunks(): AsyncIterable<TraceRequest[]> {
    const { limit, spreadTicks = false } = this.#options;
    const order = new ArrivalOrder({ rate: this.rate, spreadTicks });
    const contents = new ContentNumbers();
    this.#used = 0;
    this.#skipped = 0;
    this.#firstSkipped = undefined;
    this.#failed = 0;
    this.#outOfOrder = 0;
    const listener = {
      onBadLine: (error: TraceError): void => this.#badLine(error),
      onFailedRequest: (): void => {
        this.#failed++;
      },
    };
    reading: for await (const records of readRecords(this.#file, this.#recognized, listener)) {
      for (const record of records) {
        if (this.#used === limit) break reading;
        this.#addTo(order, record, contents);
      }
      const requests = order.take(false);
      if (requests.length > 0) yield requests;
    }
    if (this.#used === 0) {
      const value =
        this.#skipped > 0
          ? `no valid request in ${this.#skipped} lines`
          : this.#failed > 0
            ? `only requests that failed, ${this.#failed} of them`
            : "no request";
      throw new TraceError({ file: this.#file, line: 0, field: "", value, expected: "at least one request" });
    }
    yield order.take(true);
  }

  #badLine(error: TraceError): void {
    if (this.#options.skipInvalid !== true) throw error;
    this.#firstSkipped ??= error;
    this.#skipped++;
  }

  #addTo(order: ArrivalOrder, { line, request }: TraceRecord, contents: ContentNumbers): void {
    try {
      order.add({
        arrivalUs: request.timeUs,
        inputTokens: request.inputTokens,
        outputTokens: request.outputTokens,
        content: request.blockIds === undefined ? undefined : contents.number(request.blockIds),
      });
      this.#used++;
      this.#outOfOrder = order.outOfOrder;
    } catch (error) {
      if (!(error instanceof LateArrival)) throw error;
      this.#badLine(
        new TraceError({
          file: this.#file,
          line,
          field: "time",
          value: "more than 65,536 requests out of order",
          expected: "times that go up; sort the file by time",
          isOneRecord: true,
        }),
      );
    }
  }
}

function outOfOrderWarning(count: number): string {
  return count === 1
    ? "1 request was out of order and was sorted"
    : `${count.toLocaleString("en-US")} requests were out of order and were sorted`;
}
