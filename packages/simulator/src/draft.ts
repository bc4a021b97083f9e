// A file in the making: written beside its place and moved there once it is whole, so that nobody ever sees half of it.
// A link stays a link, to the file that is replaced. What is no file of its own (a pipe, a terminal, /dev/stdout) cannot be
// replaced: it is written as it is.

import { realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Names of what a process has open, even where that is a file. */
const OPEN_FILES = /^\/dev\/(fd\/|std(in|out|err)$)|^\/proc\//;

export class Draft {
  /** Where to write. */
  readonly path: string;
  /** Where it goes once it is whole; undefined where it is there already. */
  readonly #place: string | undefined;

  /** Throws the system's error where a part of the path is no folder. */
  constructor(path: string) {
    const facts = statSync(path, { throwIfNoEntry: false });
    if (OPEN_FILES.test(path) || (facts !== undefined && !facts.isFile() && !facts.isDirectory())) {
      this.path = path;
      return;
    }
    this.#place = facts === undefined ? path : realpathSync(path);
    // Beside its place, so that the move stays inside one file system.
    this.path = join(dirname(this.#place), `.${basename(this.#place)}.${process.pid}.part`);
  }

  /** Moves what was written to its place. Throws the system's error, with nothing moved. */
  publish(): void {
    if (this.#place !== undefined) renameSync(this.path, this.#place);
  }

  /** Takes away what was written. Never throws: the first error is the one to report. */
  discard(): void {
    if (this.#place === undefined) return;
    try {
      rmSync(this.path, { force: true });
    } catch {}
  }
}
