// A growing list of int32: what the native planners append to. One allocation in every doubling, no boxed numbers.

export class IntList {
  private items: Int32Array<ArrayBuffer> = new Int32Array(64);
  length = 0;

  push(value: number): void {
    if (this.length === this.items.length) {
      const grown = new Int32Array(2 * this.items.length);
      grown.set(this.items);
      this.items = grown;
    }
    this.items[this.length++] = value;
  }

  /** The value pushed last; the list must not be empty. */
  get last(): number {
    return this.items[this.length - 1]!;
  }

  /** A view of what was pushed, valid until the next push. */
  view(): Int32Array {
    return this.items.subarray(0, this.length);
  }
}
