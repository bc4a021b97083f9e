// What a whole step took, beside the picture of its attention launch in one layer: whether attention is why it was slow,
// and what a better plan could save.

import type { StepBatch } from "../documents/report.ts";
import { integer, milliseconds, percent, plural } from "../format.ts";
import type { Fact } from "../ui/facts.ts";
import { aboveBoundUs } from "./replay.ts";

export function stepFacts(step: StepBatch): Fact[] {
  const { durationUs, attentionUs, attentionImbalance, qoLens } = step;
  const tokens = qoLens.reduce((sum, length) => sum + length, 0);
  const share = (partUs: number): string => (durationUs > 0 ? ` (${percent(partUs / durationUs)})` : "");
  const facts: Fact[] = [
    ["Kept as", step.reason],
    ["Took", milliseconds(durationUs / 1e3)],
    ["Computed", `${integer(tokens)} tokens of ${plural(qoLens.length, "request")}`],
    ["Attention, all layers", `${milliseconds(attentionUs / 1e3)}${share(attentionUs)}`],
  ];
  if (attentionImbalance !== null && attentionImbalance > 0) {
    const aboveUs = aboveBoundUs(step);
    facts.push(["Above its bound", `${milliseconds(aboveUs / 1e3)}${share(aboveUs)}`]);
  }
  return facts;
}
