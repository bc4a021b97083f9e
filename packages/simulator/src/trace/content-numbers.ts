// Numbers prefix block ids from 0 in order of appearance, so that caches can index by them. Small ids, which most traces
// have, go through a table, others through a map.

import { grown } from "../typed-arrays.ts";

/** Chosen: a table of at most 16 MiB. */
const TABLE_END = 2 ** 22;

export class ContentNumbers {
  /** Number + 1; 0 for ids not seen yet. */
  #table = new Int32Array(1024);
  readonly #map = new Map<number, number>();
  #count = 0;

  number(ids: readonly number[]): Int32Array {
    const numbers = new Int32Array(ids.length);
    for (let i = 0; i < ids.length; i++) numbers[i] = this.#numberOf(ids[i]!);
    return numbers;
  }

  #numberOf(id: number): number {
    if (id >= 0 && id < TABLE_END) {
      if (id >= this.#table.length) this.#table = grown(this.#table, Math.max(id + 1, this.#table.length * 2));
      const known = this.#table[id]!;
      if (known > 0) return known - 1;
      this.#table[id] = ++this.#count;
      return this.#count - 1;
    }
    let number = this.#map.get(id);
    if (number === undefined) {
      number = this.#count++;
      this.#map.set(id, number);
    }
    return number;
  }
}
