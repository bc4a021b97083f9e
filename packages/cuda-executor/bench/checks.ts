// Correctness on the device: every check is a row of one table, run by `test:gpu` and by the bundle's `run.sh test`.

import { hostileInput, outOfMemory, refusals, secondProcess, slotRing } from "./bad-input.ts";
import type { CheckContext } from "./check-context.ts";
import { cycles } from "./cycles.ts";
import { grid, policies, prefixes } from "./equal-attention.ts";
import { hugeCache } from "./huge-cache.ts";
import { invariance } from "./invariance.ts";
import { patience, twoExecutors } from "./patience.ts";
import { bitwise, captureBeside, oneGraph, oneGraphOfEachPolicy, oneGraphOfFewTokens } from "./replays.ts";
import { steepScores } from "./steep-scores.ts";

export interface Check {
  readonly name: string;
  run(context: CheckContext): Promise<void>;
}

export const CHECKS: readonly Check[] = [
  { name: "every head dimension, dtype, page size, group, mask and layout equals float64 attention", run: grid },
  { name: "every policy with merges in the launch equals float64 attention", run: policies },
  { name: "shared prefixes, read once for all their members, equal float64 attention", run: prefixes },
  { name: "scores that outgrow all before them by hundreds equal float64 attention", run: steepScores },
  { name: "one captured graph replays random batches, each equal to the reference", run: oneGraph },
  { name: "one captured graph for few new tokens replays random batches of them", run: oneGraphOfFewTokens },
  { name: "one captured graph of each policy, and of few workers, replays random batches", run: oneGraphOfEachPolicy },
  { name: "graph and eager launches, and repeated launches, are bitwise equal", run: bitwise },
  { name: "graphs are captured while others are closed, tensors are copied and replays run", run: captureBeside },
  { name: "workers that leave their merges to others change no bit", run: patience },
  { name: "two executors that replay at once disturb nothing", run: twoExecutors },
  { name: "invariant: a request's bits depend on no neighbour and no partition", run: invariance },
  { name: "tensors beyond 2^32 elements are addressed", run: hugeCache },
  { name: "a plan of another budget or shape is refused, and the executor goes on", run: refusals },
  {
    name: "mutated plans, short tensors and closed handles are typed errors, and the executor goes on",
    run: hostileInput,
  },
  { name: "replays queued faster than the device runs them never share a plan slot", run: slotRing },
  { name: "a second process on the device disturbs nothing", run: secondProcess },
  { name: "lack of memory is a typed error, and the executor goes on", run: outOfMemory },
  { name: "create, run and close leave nothing behind", run: cycles },
];
