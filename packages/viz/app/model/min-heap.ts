// A binary min-heap of numbers, each with a payload: which lane becomes free first.

export class MinHeap {
  readonly #keys: number[] = [];
  readonly #values: number[] = [];

  get size(): number {
    return this.#keys.length;
  }

  /** The smallest key; Infinity for an empty heap. */
  get least(): number {
    return this.#keys[0] ?? Number.POSITIVE_INFINITY;
  }

  push(key: number, value: number): void {
    let at = this.#keys.push(key) - 1;
    this.#values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keys[parent]! <= this.#keys[at]!) return;
      this.#swap(parent, at);
      at = parent;
    }
  }

  /** Removes the smallest key and returns its payload. The heap must not be empty. */
  pop(): number {
    const value = this.#values[0]!;
    const last = this.#keys.length - 1;
    this.#swap(0, last);
    this.#keys.pop();
    this.#values.pop();
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) return value;
      if (child + 1 < last && this.#keys[child + 1]! < this.#keys[child]!) child++;
      if (this.#keys[at]! <= this.#keys[child]!) return value;
      this.#swap(at, child);
      at = child;
    }
  }

  #swap(a: number, b: number): void {
    const key = this.#keys[a]!;
    const value = this.#values[a]!;
    this.#keys[a] = this.#keys[b]!;
    this.#values[a] = this.#values[b]!;
    this.#keys[b] = key;
    this.#values[b] = value;
  }
}
