// What so many tokens cost, found once for each number of tokens. Numbers above any max_num_batched_tokens in use are found
// anew each time. Short replays meet few of them, so the table grows with the largest.

import { grown } from "../typed-arrays.ts";

const MOST_TOKENS = 32_768;
const UNKNOWN = -1;

export class TokenMemo {
  readonly #costOf: (tokens: number) => number;
  #costs: Float64Array = new Float64Array(512).fill(UNKNOWN);

  /** `costOf`: a function of its argument alone, at least 0. */
  constructor(costOf: (tokens: number) => number) {
    this.#costOf = costOf;
  }

  /** What `costOf` gives. */
  of(tokens: number): number {
    const known = tokens < this.#costs.length ? this.#costs[tokens]! : UNKNOWN;
    return known === UNKNOWN ? this.#find(tokens) : known;
  }

  #find(tokens: number): number {
    const cost = this.#costOf(tokens);
    if (tokens > MOST_TOKENS) return cost;
    if (tokens >= this.#costs.length) this.#costs = grown(this.#costs, 2 * tokens, UNKNOWN);
    this.#costs[tokens] = cost;
    return cost;
  }
}
