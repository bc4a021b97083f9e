// A replay with pauses, and with requests that were rejected, as the page has it.

import { createStepTimer, findModel, findProfile, gpuFacts, type Report, replay, traceOf } from "@isochron/simulator";
import { beforeAll, describe, expect, it } from "vitest";
import { readDocuments } from "../../packages/viz/app/documents/read.ts";
import type { ReportDocument } from "../../packages/viz/app/documents/report.ts";
import { Replay } from "../../packages/viz/app/model/replay.ts";
import type { StepFunction } from "../../packages/viz/app/model/replica-totals.ts";
import { requestLanes } from "../../packages/viz/app/model/request-lanes.ts";

const PAUSE_US = 60e6;
const BURSTS = 3;
const REQUESTS = 16;

const valueAt = ({ atUs, values }: StepFunction, timeUs: number): number => {
  const after = atUs.findIndex((at) => at > timeUs);
  return values[(after < 0 ? atUs.length : after) - 1] ?? 0;
};

/** Bursts, and before the second one a request that no context holds. */
async function reportOf(replicas: number, seriesLimit?: number): Promise<Report> {
  const burst = Array.from({ length: REQUESTS }, () => ({ inputTokens: 500, outputTokens: 100 }));
  const requests = Array.from({ length: BURSTS }, (_, b) => burst.map((one) => ({ ...one, arrivalUs: b * PAUSE_US })));
  requests.splice(1, 0, [{ arrivalUs: PAUSE_US / 2, inputTokens: 1_000_000, outputTokens: 1 }]);
  const model = findModel("llama-3.1-8b");
  const profile = findProfile("h100-sxm");
  return await replay({
    trace: traceOf(requests.flat(), { blockTokens: 16 }),
    deployment: { model, gpu: gpuFacts(profile), attention: "balanced", replicas },
    stepTimer: Array.from({ length: replicas }, () => createStepTimer({ kind: "analytic", model, profile })),
    ...(seriesLimit === undefined ? {} : { seriesLimit }),
  });
}

describe.each([
  ["one replica", 1, undefined],
  ["two replicas", 2, undefined],
  ["a series that leaves steps out", 1, 40],
] as const)("a replay with pauses, on %s", (_, replicas, seriesLimit) => {
  let replayed: Replay;
  beforeAll(async () => {
    const report = await reportOf(replicas, seriesLimit);
    const [document] = await readDocuments(new TextEncoder().encode(JSON.stringify(report)), "idle.json");
    replayed = new Replay(document as ReportDocument);
  });

  it("has nothing running, waiting or in the KV cache in them", () => {
    expect(replayed.report.stepStride > 1).toBe(seriesLimit !== undefined);
    for (const series of [replayed.running, replayed.waiting, replayed.kvShare]) {
      for (let b = 0; b < BURSTS; b++) expect(valueAt(series, (b + 0.5) * PAUSE_US)).toBe(0);
      expect(series.atUs).toEqual(series.atUs.toSorted());
    }
    for (let b = 0; b < BURSTS; b++) expect(valueAt(replayed.running, b * PAUSE_US + 5e5)).toBe(REQUESTS);
    expect(Math.max(...replayed.running.values)).toBe(REQUESTS);
  });

  it("has rejected requests in no row", () => {
    const { requests } = replayed.report;
    const rejected = Array.from(requests!.status).indexOf(1);
    const lanes = requestLanes(requests!, replayed.endUs);
    expect([lanes.most, lanes.laneOfRow[rejected], lanes.firstSlice[rejected]]).toEqual([REQUESTS, -1, -1]);
    expect(Array.from(lanes.rowOfSlice.subarray(0, lanes.index.data.start.length))).not.toContain(rejected);
  });
});
