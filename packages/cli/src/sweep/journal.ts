// The journal of a sweep: a line for each finished task, in the order in which they ended, with times and machines. It is
// written as tasks end, so that no end of this process loses more than what was running; the results are made from it.

import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import type { Outcome } from "@isochron/simulator";
import { parseJson } from "../documents/read.ts";
import { InputError, systemReason } from "../errors.ts";
import type { Finished, WallClock } from "./task.ts";

export interface JournalEntry {
  readonly key: string;
  readonly outcome: Outcome;
  readonly wallClock: WallClock;
}

export class Journal {
  readonly #path: string;
  readonly #entries = new Map<string, JournalEntry>();

  /** Reads what is there. A last line that was cut off is taken away. Throws InputError for a file that is no journal. */
  constructor(path: string) {
    this.#path = path;
    if (!existsSync(path)) return;
    const content = readFileSync(path);
    const end = content.lastIndexOf("\n") + 1;
    if (end < content.length) truncateSync(path, end);
    const lines = content.toString("utf8", 0, end).split("\n").slice(0, -1);
    lines.forEach((line, i) => {
      const entry = parseJson(Buffer.from(line), `${path}:${i + 1}`, "line of a sweep's journal") as JournalEntry;
      if (typeof entry?.key !== "string" || typeof entry.outcome?.status !== "string") {
        throw new InputError(`${path}:${i + 1}: expected key and outcome of a finished configuration`);
      }
      this.#entries.set(entry.key, entry);
    });
  }

  get(key: string): JournalEntry | undefined {
    return this.#entries.get(key);
  }

  add({ key, outcome, wallClock }: Finished): void {
    const entry: JournalEntry = { key, outcome, wallClock };
    try {
      appendFileSync(this.#path, `${JSON.stringify(entry)}\n`);
    } catch (error) {
      throw new InputError(`${this.#path}: cannot be written (${systemReason(error)})`);
    }
    this.#entries.set(key, entry);
  }
}
