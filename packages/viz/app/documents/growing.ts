// The bytes of a file as they arrive, in one buffer that is as long as the file will be.

import { overviewBytes } from "./overview.ts";
import { DocumentProblem } from "./problem.ts";

export class Growing {
  #bytes: Uint8Array;
  #length = 0;

  /** `size`: what is expected; more may come. Throws DocumentProblem where this browser has no room for it. */
  constructor(size: number, file: string) {
    try {
      this.#bytes = new Uint8Array(size);
    } catch {
      const found = `the file has ${(size / 2 ** 30).toFixed(1)} GiB, more than this browser gives to a page`;
      throw new DocumentProblem(file, found, "a smaller file: a shorter run, or fewer launches");
    }
  }

  get length(): number {
    return this.#length;
  }

  get filled(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length) as Uint8Array<ArrayBuffer>;
  }

  append(part: Uint8Array): void {
    const length = this.#length + part.length;
    if (length > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(length, this.#bytes.length * 2));
      longer.set(this.filled);
      this.#bytes = longer;
    }
    this.#bytes.set(part, this.#length);
    this.#length = length;
  }
}

/** Whether the overview of a binary document is there. */
export function isOverviewDue(bytes: Growing): boolean {
  try {
    const needed = overviewBytes(bytes.filled);
    return needed !== null && bytes.length >= needed;
  } catch {
    return false;
  }
}
