// Chrome trace events of a replay in a file that grows as the replay goes on: a long one does not fit into memory. A disk
// that is full ends the file, not the replay.

import { renameSync } from "node:fs";
import { type ReplayedStep, ReplayTraceEvents, type Report } from "@isochron/simulator";
import { cannotWrite, openSink, prepareFile, removeQuietly, temporaryName } from "./write.ts";

export class TraceEventFile {
  readonly #file: string;
  readonly #temporary: string;
  readonly #sink: ReturnType<typeof openSink>;
  readonly #events: ReplayTraceEvents;
  #failure: unknown;

  /** Throws InputError where the file cannot be written. */
  constructor(file: string) {
    prepareFile(file);
    this.#file = file;
    this.#temporary = temporaryName(file);
    this.#sink = openSink(this.#temporary);
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
  end(report: Report): void {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      this.#events.end(report);
      this.#sink.close();
      renameSync(this.#temporary, this.#file);
    } catch (error) {
      this.discard();
      throw cannotWrite(this.#file, error);
    }
  }

  discard(): void {
    this.#sink.discard();
    removeQuietly(this.#temporary);
  }
}
