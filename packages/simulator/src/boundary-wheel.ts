// Who crosses a boundary when, among requests that all advance by one token a step, where boundaries lie `period` tokens
// apart: whoever crosses one now crosses the next in `period` steps. So a wheel of counts by step modulo period says how
// many cross in each step, without a look at any request.

export class BoundaryWheel {
  readonly #crossings: Int32Array;
  #at = 0;
  /** Sum of the counts. */
  #requests = 0;

  constructor(period: number) {
    this.#crossings = new Int32Array(period);
  }

  /** Nobody crosses anything. */
  clear(): void {
    if (this.#requests > 0) this.#crossings.fill(0);
    this.#requests = 0;
    this.#at = 0;
  }

  /** A request crosses a boundary in the step that is `steps` from here, 1 being the next: from 1 to the period. */
  add(steps: number): void {
    const crossings = this.#crossings;
    const at = this.#at + steps;
    crossings[at < crossings.length ? at : at - crossings.length]!++;
    this.#requests++;
  }

  /** How many cross a boundary in the next step. */
  get next(): number {
    const at = this.#at + 1;
    return this.#crossings[at === this.#crossings.length ? 0 : at]!;
  }

  /** The next step goes by. */
  turn(): void {
    if (++this.#at === this.#crossings.length) this.#at = 0;
  }
}
