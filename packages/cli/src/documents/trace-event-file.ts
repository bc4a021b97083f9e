// Chrome trace events of a replay in a file that grows as the replay goes on: a long one does not fit into memory. A disk
// that is full ends the file, not the replay. Compressed at the end, where the name ends in .gz.

import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { Draft, type ReplayedStep, ReplayTraceEvents, type Report } from "@isochron/simulator";
import { cannotWrite, draftOf, openSink } from "./write.ts";

export class TraceEventFile {
  readonly #file: string;
  readonly #draft: Draft;
  /** What is compressed in the end, if anything is. */
  readonly #text: Draft;
  readonly #sink: ReturnType<typeof openSink>;
  readonly #events: ReplayTraceEvents;
  #failure: unknown;

  /** Throws InputError where the file cannot be written. */
  constructor(file: string) {
    this.#file = file;
    this.#draft = draftOf(file);
    this.#text = file.endsWith(".gz") ? new Draft(`${file}.text`) : this.#draft;
    try {
      this.#sink = openSink(this.#text.path);
    } catch (error) {
      throw cannotWrite(file, error);
    }
    this.#events = new ReplayTraceEvents(this.#sink.write);
  }

  readonly step = (step: ReplayedStep): void => {
    if (this.#failure !== undefined) return;
    try {
      this.#events.step(step);
    } catch (error) {
      this.#failure = error;
    }
  };

  /** Makes the file whole. Throws InputError where it could not be written; nothing is left of it then. */
  async end(report: Report): Promise<void> {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      this.#events.end(report);
      this.#sink.close();
      if (this.#text !== this.#draft) {
        await pipeline(createReadStream(this.#text.path), createGzip(), createWriteStream(this.#draft.path));
      }
      this.#draft.publish();
    } catch (error) {
      throw cannotWrite(this.#file, error);
    } finally {
      this.discard();
    }
  }

  discard(): void {
    this.#sink.discard();
    this.#text.discard();
    this.#draft.discard();
  }
}
