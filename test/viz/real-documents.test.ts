// What planner and simulator write, the viewer reads: every policy, and a whole replay.

import {
  type AttentionBatch,
  type AttentionShape,
  createPlanner,
  POLICIES,
  POLICY_NAMES,
  PolicyNotApplicableError,
  type Timeline,
} from "@isochron/planner";
import {
  createStepTimer,
  findModel,
  findProfile,
  gpuFacts,
  plannerDevice,
  type Report,
  replay,
  simulateKernel,
  syntheticTrace,
} from "@isochron/simulator";
import { encodeBinaryDocument } from "@isochron/viz";
import { describe, expect, it } from "vitest";
import { readDocuments } from "../../packages/viz/app/documents/read.ts";
import type { ReportDocument } from "../../packages/viz/app/documents/report.ts";
import type { TimelineDocument } from "../../packages/viz/app/documents/timeline.ts";
import { timelineJson } from "../../packages/viz/app/export/timeline-exports.ts";
import { writeTraceEvents } from "../../packages/viz/app/export/trace-events.ts";
import { prepare } from "../../packages/viz/app/model/prepared.ts";
import { Replay } from "../../packages/viz/app/model/replay.ts";
import { requestLanes } from "../../packages/viz/app/model/request-lanes.ts";

const profile = findProfile("h100-sxm");
const attention: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};
const decode: AttentionBatch = { qoLens: [1, 1, 1, 1], kvLens: [20_000, 18_000, 700, 64] };
const mixed: AttentionBatch = { qoLens: [1, 1, 300, 1], kvLens: [20_000, 18_000, 2048, 64] };
const shared: AttentionBatch = { ...decode, prefixes: [{ requests: [0, 1], kvLen: 16_000 }] };

async function read<T>(value: unknown): Promise<T> {
  const [document] = await readDocuments(new TextEncoder().encode(JSON.stringify(value)), "real.json");
  return document as T;
}

function simulated(policy: (typeof POLICY_NAMES)[number], batch: AttentionBatch): Timeline | null {
  try {
    const planner = createPlanner({ attention, device: plannerDevice(profile), policy });
    return simulateKernel(planner.plan(batch), profile).timeline;
  } catch (error) {
    if (error instanceof PolicyNotApplicableError) return null;
    throw error;
  }
}

describe("timelines of the simulator", () => {
  it.each(POLICY_NAMES.filter((name) => POLICIES[name] !== undefined))(
    "of policy %s are read, summed and written again without a loss",
    async (policy) => {
      for (const batch of [decode, mixed, shared]) {
        const timeline = simulated(policy, batch);
        if (timeline === null) continue;
        const document = await read<TimelineDocument>(timeline);
        expect(document.warnings).toEqual([]);
        const { work, index, verdict, jobs } = prepare(document);
        expect(verdict.headline).not.toContain("NaN");
        // The index and the plain sum are two ways to the same number.
        for (let lane = 0; lane < document.lanes.count; lane++) {
          expect(index.busyIn(lane, 0, document.durationUs)).toBeCloseTo(work.lanes.busyUs[lane]!, 6);
          expect(work.lanes.busyUs[lane]!).toBeLessThanOrEqual(document.durationUs * (1 + 1e-9));
        }
        expect(jobs.reduce((sum, job) => sum + job.members.length, 0)).toBe(document.slices.count);
        // Every request of the batch got work.
        for (let request = 0; request < batch.kvLens.length; request++) {
          expect(work.byRequest.get(request)!.pieces, `request ${request}`).toBeGreaterThan(0);
        }
        const trace = await read<TimelineDocument>(JSON.parse(writeTraceEvents(document)));
        expect(timelineJson(trace)).toBe(timelineJson(document));
        const [binary] = await readDocuments(encodeBinaryDocument(timeline), "real.bin");
        expect(timelineJson(binary as TimelineDocument)).toBe(timelineJson(document));
      }
    },
  );
});

describe("reports of a replay", () => {
  it("are read, and every kept step finds its timeline by its title", async () => {
    const model = findModel("llama-3.1-8b");
    const report: Report = await replay({
      trace: syntheticTrace({
        requests: 60,
        arrivals: { kind: "poisson", perSecond: 8 },
        input: { kind: "exponential", mean: 900, max: 8000 },
        output: { kind: "exponential", mean: 60, max: 400 },
        seed: 3,
      }),
      deployment: {
        model,
        gpu: gpuFacts(profile),
        attention: "balanced",
        replicas: 2,
        slo: { ttftMs: 400, tpotMs: 20 },
      },
      stepTimer: [0, 1].map(() => createStepTimer({ kind: "analytic", model, profile })),
    });
    const document = await read<ReportDocument>(report);
    const kept = report.stepBatches[0]!;
    const timeline = await read<TimelineDocument>({
      ...simulated("balanced", decode)!,
      title: `replica ${kept.replica} · step ${kept.step}`,
    });
    const openable = new Replay(document).openable([document, timeline]);
    // The most telling reasons come first, and the sample that nothing was unusual about last.
    const ranks = ["longest step", "attention above bound", "p99 TTFT", "p50 TTFT", "evenly spaced"];
    const order = openable.map(({ reason }) => ranks.findIndex((one) => reason.includes(one)));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(openable[0]!.durationUs).toBeCloseTo(Math.max(...document.steps.durationUs), 2);
    expect(openable.filter((step) => step.doc === 1)).toHaveLength(1);
    expect(openable.find((step) => step.doc === 1)).toMatchObject({ replica: kept.replica, step: kept.step });
    const { endUs, running } = new Replay(document);
    expect(Math.max(...running.values)).toBeLessThanOrEqual(60);
    // Requests that share a lane never overlap, and there are as many lanes as requests at once.
    const lanes = requestLanes(document.requests!, endUs);
    for (let lane = 0; lane < lanes.laneCount; lane++) {
      const { offset, start, end } = lanes.index.data;
      for (let i = offset[lane]! + 1; i < offset[lane + 1]!; i++) expect(start[i]).toBeGreaterThanOrEqual(end[i - 1]!);
    }
    expect(lanes.laneCount).toBeLessThan(60);
  });
});
