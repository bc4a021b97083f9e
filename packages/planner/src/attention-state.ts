// The state of one query row over a set of KV tokens: output, maximum logit and sum of exponentials.
//
// output holds Σ exp(logit − max)·v (unnormalised); states merge by rescaling to the larger maximum. The operator is
// associative and commutative in exact arithmetic; (0, −∞, 0) is neutral. `round` is the identity for float64 and
// Math.fround for float32, applied after every operation, so that bitwise claims can be tested.

/** Applied after every operation: the identity, or Math.fround. */
export type Round = (x: number) => number;

/** State of one query row. Written over by merging. */
export interface AttentionState {
  /** [valueHeadDim]: Σ exp(logit − max)·v, unnormalised. */
  readonly output: Float64Array;
  /** Largest logit, in natural-log units; −∞ while nothing was seen. */
  max: number;
  /** Σ exp(logit − max). */
  sum: number;
}

/** The neutral state of a row that has seen no KV token. */
export function emptyState(valueHeadDim: number): AttentionState {
  return { output: new Float64Array(valueHeadDim), max: Number.NEGATIVE_INFINITY, sum: 0 };
}

/** Merges `from` into `into`, in this order. `from` is left as it is; with an empty `into` its output is copied. */
export function mergeState(into: AttentionState, from: AttentionState, round: Round): void {
  if (from.max === Number.NEGATIVE_INFINITY) return;
  if (into.max === Number.NEGATIVE_INFINITY) {
    into.output.set(from.output);
    into.max = from.max;
    into.sum = from.sum;
    return;
  }
  const max = Math.max(into.max, from.max);
  const left = round(Math.exp(round(into.max - max)));
  const right = round(Math.exp(round(from.max - max)));
  for (let d = 0; d < into.output.length; d++) {
    into.output[d] = round(round(into.output[d]! * left) + round(from.output[d]! * right));
  }
  into.sum = round(round(into.sum * left) + round(from.sum * right));
  into.max = max;
}

/** Natural log of the sum of exponentials; −∞ for the empty state. */
export function logSumExp(state: AttentionState): number {
  return state.sum === 0 ? Number.NEGATIVE_INFINITY : state.max + Math.log(state.sum);
}
