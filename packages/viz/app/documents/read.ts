// From bytes to documents: JSON, gzip, the binary form, several documents in one file, or a trace-event file of ours.

import { decodeBinaryDocument, isBinaryDocument, unpackDocument } from "../../src/columns.ts";
import { isTraceEvents, readTraceEvents } from "../export/trace-events.ts";
import { describe } from "./check.ts";
import { DocumentProblem } from "./problem.ts";
import { type ReportDocument, readReport } from "./report.ts";
import { readSweep, type SweepResultsDocument } from "./sweep.ts";
import { readTimeline, type TimelineDocument } from "./timeline.ts";

export type ViewerDocument = TimelineDocument | ReportDocument | SweepResultsDocument;

const EXPECTED =
  'a timeline/1, report/1 or sweep-results/1 document of Isochron ("isochron replay", "isochron simulate --out", "isochron sweep --json")';

const READERS: ReadonlyMap<string, (value: unknown, file: string) => ViewerDocument> = new Map<
  string,
  (value: unknown, file: string) => ViewerDocument
>([
  ["timeline", readTimeline],
  ["report", readReport],
  ["sweep-results", readSweep],
]);

/** What a document type can be turned into something the viewer opens with. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  batch: 'a timeline: "isochron simulate BATCH --out FILE" makes one of a batch',
  plan: 'a timeline: "isochron simulate BATCH --out FILE" makes one',
  "plan-summary": 'a timeline: "isochron simulate BATCH --out FILE" makes one',
  simulation: 'the timeline that "isochron simulate BATCH --out FILE" writes beside this summary',
  sweep: 'its results: "isochron sweep SWEEP --html FILE" makes a page of them',
  run: 'the timeline that "isochron run BATCH --out FILE" writes beside this summary',
};

/** The longest text of V8, in bytes: https://v8.dev, String::kMaxLength (2^29 − 24). */
const MAX_TEXT_BYTES = 2 ** 29 - 24;

/** Throws DocumentProblem where the file cannot be shown. */
export async function readDocuments(bytes: Uint8Array, file: string): Promise<ViewerDocument[]> {
  if (bytes.length === 0) throw new DocumentProblem(file, "the file is empty", EXPECTED);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return readDocuments(await gunzip(bytes, file), file);
  return documentsIn(parse(bytes, file), file);
}

function parse(bytes: Uint8Array, file: string): unknown {
  if (isBinaryDocument(bytes)) {
    try {
      return decodeBinaryDocument(bytes);
    } catch (error) {
      throw new DocumentProblem(file, messageOf(error), "a whole binary document");
    }
  }
  if (bytes.length > MAX_TEXT_BYTES) {
    const found = `the file has ${Math.round(bytes.length / 1e6)} MB of text, more than a browser reads as one`;
    throw new DocumentProblem(
      file,
      found,
      'the binary form: name the file *.isoc ("isochron simulate --out FILE.isoc")',
    );
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new DocumentProblem(file, "the file is neither text nor a binary document", EXPECTED);
  }
  return parseJson(text, file);
}

export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DocumentProblem(file, `the file is not JSON (${messageOf(error)})`, EXPECTED);
  }
}

/** One document, or a bundle `{ reports, timelines, sweeps }`, or an array of documents. */
export function documentsIn(raw: unknown, file: string): ViewerDocument[] {
  if (Array.isArray(raw)) {
    if (raw.length === 0) throw new DocumentProblem(file, "the file is an empty array", EXPECTED);
    return raw.flatMap((entry, i) => documentsIn(entry, raw.length === 1 ? file : `${file} [${i}]`));
  }
  if (typeof raw !== "object" || raw === null)
    throw new DocumentProblem(file, `the file is ${describe(raw)}`, EXPECTED);
  if (isTraceEvents(raw)) return documentsIn(readTraceEvents(raw, file), file);
  if (!("isochron" in raw) && ("reports" in raw || "timelines" in raw || "sweeps" in raw)) {
    const { reports = [], timelines = [], sweeps = [] } = raw as Readonly<Record<string, unknown>>;
    if (Array.isArray(reports) && Array.isArray(timelines) && Array.isArray(sweeps)) {
      return [...reports, ...timelines, ...sweeps].flatMap((entry) => documentsIn(entry, file));
    }
  }
  return [oneDocument(raw, file)];
}

function oneDocument(raw: object, file: string): ViewerDocument {
  const mark: unknown = "isochron" in raw ? raw.isochron : undefined;
  if (typeof mark !== "string") {
    const keys = Object.keys(raw)
      .slice(0, 4)
      .map((key) => JSON.stringify(key.slice(0, 24)));
    const found =
      keys.length === 0 ? "an object without fields" : `a file of another tool, with the fields ${keys.join(", ")}`;
    throw new DocumentProblem(file, found, EXPECTED);
  }
  const [type, version] = mark.split("/");
  const reader = READERS.get(type!);
  if (reader === undefined) {
    const expected = Object.hasOwn(ELSEWHERE, type ?? "") ? ELSEWHERE[type!]! : EXPECTED;
    throw new DocumentProblem(file, `this is a ${describe(mark)} document`, expected);
  }
  if (version !== "1") {
    const newer = Number(version) > 1;
    throw new DocumentProblem(
      file,
      `this is a ${describe(mark)} document, ${newer ? "newer" : "of another version"} than this viewer reads`,
      `${type}/1${newer ? "; open it with the viewer of the Isochron that wrote it" : "; write it again with this version of Isochron"}`,
    );
  }
  try {
    const document = unpackDocument(raw);
    return reader(document, file);
  } catch (error) {
    if (error instanceof DocumentProblem) throw error;
    throw new DocumentProblem(file, messageOf(error), `a whole ${type}/1 document`);
  }
}

async function gunzip(bytes: Uint8Array, file: string): Promise<Uint8Array> {
  try {
    const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new DocumentProblem(file, "the gzip data cannot be unpacked", "a whole .gz file");
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
