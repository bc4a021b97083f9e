import { readFileSync } from "node:fs";
import type { AttentionBatch, AttentionShape, Plan } from "@isochron/planner";
import { createPlanner, Header, Piece, SLICE_KINDS } from "@isochron/planner";
import {
  findProfile,
  type GpuProfile,
  KernelSimulator,
  PlanProfileMismatchError,
  parseProfile,
  plannerDevice,
  simulateKernel,
  timelineSchema,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { evenPlan, type HandPiece, handMadePlan, LLAMA_8B_ATTENTION } from "./hand-made-plans.ts";

const profile = findProfile("h100-sxm");
const microbench = JSON.parse(
  readFileSync(new URL("../../packages/simulator/validation/data/h100/microbench.json", import.meta.url), "utf8"),
);
const LAUNCH_US = profile.launch.graphNodeUs.value;
const LATENCY_US = profile.attention.startUs.value + profile.attention.writeOutUs.value;

/** The profile with other attention latencies. */
function withLatencies(startUs: number, writeOutUs: number): GpuProfile {
  const changed = JSON.parse(JSON.stringify(profile));
  changed.attention.startUs.value = startUs;
  changed.attention.nextStartUs.value = startUs;
  changed.attention.writeOutUs.value = writeOutUs;
  return parseProfile(JSON.stringify(changed), "changed");
}

const requestArbitrary = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant(1), fc.integer({ min: 1, max: 9000 })) },
  { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 2, max: 700 }), fc.integer({ min: 0, max: 3000 })) },
);
const batchArbitrary: fc.Arbitrary<AttentionBatch> = fc
  .array(requestArbitrary, { minLength: 0, maxLength: 40 })
  .map((requests) => ({
    qoLens: requests.map(([qoLen]) => qoLen),
    kvLens: requests.map(([qoLen, history]) => qoLen + history),
  }));
const planners = (["balanced", "none"] as const).map((policy) =>
  createPlanner({ attention: LLAMA_8B_ATTENTION, device: plannerDevice(profile), policy }),
);
const planArbitrary: fc.Arbitrary<Plan> = fc
  .tuple(batchArbitrary, fc.constantFrom(...planners))
  .map(([batch, planner]) => planner.plan(batch));

/** Bytes of KV of all pieces of a plan, and of queries and outputs or partial states. */
function bytesOf(plan: Plan): { kv: number; rows: number } {
  let kv = 0;
  let rows = 0;
  for (let record = 0; record < plan.pieceRecordCount; record++) {
    const at = record * Piece.stride;
    const heads = plan.pieces[at + Piece.headCount]!;
    kv += heads * (plan.pieces[at + Piece.kvEnd]! - plan.pieces[at + Piece.kvStart]!) * 2 * 128 * 2;
    const outputBytes = plan.pieces[at + Piece.slot]! < 0 ? 128 * 2 : 129 * 4;
    rows += heads * (plan.pieces[at + Piece.rows]! & 0xffff) * (128 * 2 + outputBytes);
  }
  return { kv, rows };
}

describe("simulateKernel against measurements of the H100", () => {
  test("even reads take what they were measured to take", () => {
    // A read kernel has no query, softmax or output: its latency is the measured intercept less the launch.
    const reading = withLatencies(0.45, 0);
    let worst = 0;
    for (const row of microbench.piece_time) {
      if (row.ctas < 66) continue; // 8 CTAs: within 4 % beyond 16 tiles, see `npm run validate`
      const { durationUs } = simulateKernel(evenPlan(row.ctas, row.tiles * 64, { ctasPerSm: row.ctasPerSm }), reading);
      worst = Math.max(worst, Math.abs(durationUs / row.us - 1));
    }
    expect(worst).toBeLessThan(0.05);
  });

  test("a lone worker pulls what one CTA can pull, not the whole card", () => {
    const bytes = 64 * 1024 * 512;
    const { durationUs } = simulateKernel(evenPlan(1, 64 * 1024), profile);
    expect(durationUs).toBeCloseTo(
      LAUNCH_US + LATENCY_US + (bytes + 512) / (profile.memory.perCtaGBps.value * 1000),
      -1,
    );
    expect(bytes / durationUs / 1000).toBeLessThan(profile.memory.perCtaGBps.value);
  });
});

describe("simulateKernel", () => {
  test("work is conserved: slices, busy times, bytes and bandwidth tell the same story", () => {
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        const result = simulateKernel(plan, profile);
        const { slices, bandwidth } = result.timeline;
        const lanes = result.timeline.device.workers;
        let busyUs = 0;
        let pieces = 0;
        for (let i = 0; i < slices.startUs.length; i++) {
          busyUs += slices.endUs[i]! - slices.startUs[i]!;
          if (SLICE_KINDS[slices.kind[i]!] !== "merge") pieces++;
        }
        expect(pieces).toBe(plan.stats.pieces);
        expect(slices.startUs.length - pieces).toBe(plan.mergeCount);
        expect(result.busyFraction * lanes * result.durationUs).toBeCloseTo(busyUs, 3);
        const perSmUs = result.perSm.reduce((sum, sm) => sum + sm.busyUs + sm.stalledUs, 0);
        expect(perSmUs * 2).toBeCloseTo(busyUs, 3);

        const { kv, rows } = bytesOf(plan);
        expect(result.hbmBytes + result.l2ServedBytes).toBeCloseTo(kv + rows, 0);
        let movedBytes = 0;
        for (let i = 0; i + 1 < bandwidth!.atUs.length; i++) {
          movedBytes += bandwidth!.gigabytesPerSecond[i]! * (bandwidth!.atUs[i + 1]! - bandwidth!.atUs[i]!) * 1000;
        }
        expect(Math.abs(movedBytes - result.hbmBytes)).toBeLessThan(1 + 1e-6 * result.hbmBytes);
      }),
      { numRuns: 300 },
    );
  });

  test("no GPU, SM or CTA goes above its rate", () => {
    const peak = Math.max(...profile.memory.achievedGBps.rows.map(([, gbps]) => gbps));
    const smTflops = profile.attention.tensorTflops.rows[0]![1] / profile.device.smCount.value;
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        const { timeline, durationUs, l2ServedBytes, hbmBytes } = simulateKernel(plan, profile);
        for (const gbps of Array.from(timeline.bandwidth!.gigabytesPerSecond)) {
          expect(gbps).toBeLessThanOrEqual(peak * (1 + 1e-9));
        }
        expect(hbmBytes).toBeLessThanOrEqual(peak * 1000 * durationUs);
        const smBytes = new Float64Array(132);
        const smFlops = new Float64Array(132);
        const { slices } = timeline;
        for (let i = 0; i < slices.startUs.length; i++) {
          const tokens = slices.kvEnd[i]! - slices.kvStart[i]!;
          // With no hit in L2 all bytes are HBM's, and each CTA has its own cap.
          const leastUs = (tokens * 512) / (profile.memory.perCtaGBps.value * 1000);
          if (l2ServedBytes === 0)
            expect(slices.endUs[i]! - slices.startUs[i]!).toBeGreaterThanOrEqual(leastUs * (1 - 1e-9));
          smBytes[slices.sm[i]!]! += tokens * 512;
          const qoLen = timeline.batch.qoLens[slices.request[i]!]!;
          const rows = qoLen * 4 <= 16 ? 16 : qoLen * 4 <= 64 ? 64 : 128;
          smFlops[slices.sm[i]!]! += 4 * rows * tokens * 128;
        }
        for (let sm = 0; sm < 132; sm++) {
          if (l2ServedBytes === 0) {
            expect(smBytes[sm]).toBeLessThanOrEqual(profile.memory.perSmGBps.value * 1000 * durationUs);
          }
          expect(smFlops[sm]).toBeLessThanOrEqual(smTflops * 1e6 * durationUs * (1 + 1e-9));
        }
      }),
      { numRuns: 300 },
    );
  });

  test("without sharing it is the planner's own makespan, and sharing never makes it longer", () => {
    fc.assert(
      fc.property(batchArbitrary, (batch) => {
        for (const planner of planners) {
          const plan = planner.plan(batch);
          const unshared = simulateKernel(plan, profile, { sharing: "none" });
          const fluid = simulateKernel(plan, profile);
          const pieceEnd = (result: typeof fluid) => {
            const { slices } = result.timeline;
            let end = LAUNCH_US;
            for (let i = 0; i < slices.endUs.length; i++) {
              if (SLICE_KINDS[slices.kind[i]!] !== "merge") end = Math.max(end, slices.endUs[i]!);
            }
            return end;
          };
          expect(pieceEnd(unshared)).toBeCloseTo(LAUNCH_US + plan.stats.makespanUs, 6);
          // The planner's costs have no price for query and output bytes: allow them at the fair share.
          const rowsUs = (bytesOf(plan).rows * 264) / (3070 * 1000);
          expect(pieceEnd(fluid)).toBeLessThanOrEqual(pieceEnd(unshared) * 1.001 + rowsUs);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("no plan is faster than its lower bound", () => {
    const simulator = new KernelSimulator(profile);
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        simulator.run(plan);
        expect(simulator.durationUs).toBeGreaterThanOrEqual(simulator.lowerBoundUs * (1 - 1e-9));
      }),
      { numRuns: 1000 },
    );
  });

  test("slices of one worker never overlap, and a merge waits for everything that it folds", () => {
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        const { timeline } = simulateKernel(plan, profile);
        const { slices } = timeline;
        for (let i = 1; i < slices.startUs.length; i++) {
          if (slices.worker[i] !== slices.worker[i - 1]) continue;
          expect(slices.startUs[i]).toBeGreaterThanOrEqual(slices.endUs[i - 1]! - 1e-9);
        }
        const written = new Map<string, number>();
        for (let i = 0; i < slices.startUs.length; i++) {
          if (SLICE_KINDS[slices.kind[i]!] === "merge") continue;
          const tile = Math.floor(slices.qTile[i]! / 128);
          const job = `${slices.request[i]}/${slices.kvHead[i]}/${tile}`;
          written.set(job, Math.max(written.get(job) ?? 0, slices.endUs[i]!));
        }
        for (let i = 0; i < slices.startUs.length; i++) {
          if (SLICE_KINDS[slices.kind[i]!] !== "merge") continue;
          const job = `${slices.request[i]}/${slices.kvHead[i]}/${Math.floor(slices.qTile[i]! / 128)}`;
          expect(slices.startUs[i]).toBeGreaterThanOrEqual(written.get(job)! - 1e-9);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("the same plan gives the same result, whatever ran before it, with and without a timeline", () => {
    const used = new KernelSimulator(profile);
    fc.assert(
      fc.property(planArbitrary, (plan) => {
        const first = simulateKernel(plan, profile);
        used.run(plan);
        expect(used.durationUs).toBe(first.durationUs);
        expect(used.busyFraction).toBe(first.busyFraction);
        expect(used.hbmBytes).toBe(first.hbmBytes);
        expect(simulateKernel(plan, profile).timeline).toEqual(first.timeline);
      }),
      { numRuns: 200 },
    );
  });

  test("its timeline is a timeline/1 document", () => {
    const plan = planners[0]!.plan({ qoLens: [1, 1, 300], kvLens: [4096, 100_000, 900] });
    const { timeline } = simulateKernel(plan, profile, { title: "three requests" });
    expect(timelineSchema.safeParse(JSON.parse(JSON.stringify(timeline))).error).toBeUndefined();
    expect(timeline.title).toBe("three requests");
    expect(new Set(Array.from(timeline.slices.kind, (kind) => SLICE_KINDS[kind]!))).toEqual(
      new Set(["decode", "prefill", "merge"]),
    );
  });

  test("an empty batch takes its launch and no more", () => {
    const result = simulateKernel(planners[0]!.plan({ qoLens: [], kvLens: [] }), profile);
    expect(result.durationUs).toBe(LAUNCH_US);
    expect(result.bandwidthGBps).toBe(0);
    expect(result.timeline.slices.worker).toHaveLength(0);
  });

  test("heads folded into one record take what the same pieces take one by one", () => {
    const folded = handMadePlan({ workers: [[{ request: 0, kvStart: 0, kvEnd: 1000, headCount: 8 }]] });
    const single = handMadePlan({
      workers: [Array.from({ length: 8 }, (_, head) => ({ request: 0, kvStart: 0, kvEnd: 1000, head }))],
    });
    expect(simulateKernel(folded, profile).durationUs).toBe(simulateKernel(single, profile).durationUs);
    expect(Array.from(simulateKernel(folded, profile).timeline.slices.kvHead)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("CTAs of a grid start in order as slots come free", () => {
    // 265 CTAs on 264 slots: the last one starts when the shortest of the first wave is done.
    const workers = Array.from({ length: 265 }, (_, i) => [{ request: i, kvStart: 0, kvEnd: i === 77 ? 64 : 2048 }]);
    const { timeline } = simulateKernel(handMadePlan({ workers, grid: true }), profile);
    const { slices } = timeline;
    const at = (request: number) => Array.from(slices.request).indexOf(request);
    expect(slices.worker[at(264)]).toBe(77);
    expect(slices.startUs[at(264)]).toBe(slices.endUs[at(77)]);
    expect(slices.sm[at(200)]).toBe(200 - 132);
  });

  test("a grid's padding CTAs without pieces cost nothing", () => {
    const real = Array.from({ length: 40 }, (_, i) => [{ request: i, kvStart: 0, kvEnd: 500 }]);
    const padded = real.flatMap((pieces) => [[], pieces, []]);
    const plain = simulateKernel(handMadePlan({ workers: real, grid: true }), profile);
    expect(simulateKernel(handMadePlan({ workers: padded, grid: true }), profile).durationUs).toBe(plain.durationUs);
  });

  test("idle CTAs among the first of a grid leave gaps, which only later CTAs fill", () => {
    // One CTA for each of 132 SMs, of which every other one is idle; then as many again, whose 66 find the other SMs free.
    const one: HandPiece = { request: 0, kvStart: 0, kvEnd: 8192, rows: 4, tileRows: 16 };
    const half = Array.from({ length: 132 }, (_, i) => (i % 2 === 0 ? [one] : []));
    const lone = simulateKernel(handMadePlan({ grid: true, ctasPerSm: 1, workers: [[one]] }), profile).durationUs;
    const gaps = simulateKernel(handMadePlan({ grid: true, ctasPerSm: 1, workers: half }), profile);
    const { worker } = gaps.timeline.slices;
    expect(Array.from(worker).sort((a, b) => a - b)).toEqual(Array.from({ length: 66 }, (_, i) => 2 * i));
    expect(gaps.durationUs).toBeGreaterThan(lone);
    const full = simulateKernel(handMadePlan({ grid: true, ctasPerSm: 1, workers: [...half, ...half] }), profile);
    expect(new Set(Array.from(full.timeline.slices.worker)).size).toBe(132);
  });

  test("CTAs that are alike end in turns, so that the next ones spread over the SMs", () => {
    // Arithmetic of its own takes all the time: 9 CTAs on each of 132 SMs, then 860 more: 7 for each, not 9 for some.
    const cudaCores = { queryHeads: 64, kvHeads: 8, headDim: 128, dtype: "bf16", kvDtype: "bf16" } as const;
    const attention: AttentionShape = { ...cudaCores, pageSize: 16, mask: { kind: "causal" } };
    const planner = createPlanner({
      attention,
      device: plannerDevice(profile, attention),
      policy: "flashinfer-decode",
    });
    const microseconds = (kvLen: number): number =>
      simulateKernel(planner.plan({ qoLens: new Array(256).fill(1), kvLens: new Array(256).fill(kvLen) }), profile)
        .durationUs;
    const perToken = (microseconds(2048) - microseconds(1024)) / 1024;
    const kernel = profile.attentionKernels!.find(({ policies }) => policies.includes("flashinfer-decode"))!;
    const wholeGpuPerToken = (256 * 8 * 8 * 512) / (kernel.tensorTflops.rows.at(-1)![1] * 1e6);
    expect(perToken / wholeGpuPerToken).toBeGreaterThan(1);
    expect(perToken / wholeGpuPerToken).toBeLessThan(1.05);
  });

  test("a launch that may begin before the one ahead has ended takes less than a graph node", () => {
    const kernel = profile.attentionKernels!.find(({ policies }) => policies.includes("flashinfer-decode"))!;
    const nodeUs = profile.launch.graphNodeUs.value;
    expect(kernel.dependentLaunchUs!.value).toBeLessThan(nodeUs);
    const device = plannerDevice(profile, LLAMA_8B_ATTENTION);
    const planner = createPlanner({ attention: LLAMA_8B_ATTENTION, device, policy: "flashinfer-decode" });
    const plan = planner.plan({ qoLens: [1], kvLens: [128] });
    const independent = structuredClone(profile);
    const independentKernel = independent.attentionKernels!.find(({ policies }) =>
      policies.includes("flashinfer-decode"),
    );
    delete (independentKernel as { dependentLaunchUs?: unknown }).dependentLaunchUs;
    const gain = simulateKernel(plan, independent).durationUs - simulateKernel(plan, profile).durationUs;
    expect(gain).toBeCloseTo(nodeUs - kernel.dependentLaunchUs!.value, 6);
  });

  test("merges in a launch of their own start after everything else", () => {
    const hand = {
      workers: [
        [{ request: 0, kvStart: 0, kvEnd: 640, slot: 0 }],
        [{ request: 0, kvStart: 640, kvEnd: 1280, slot: 1 }],
        [{ request: 1, kvStart: 0, kvEnd: 30_000 }],
      ],
      merges: [{ worker: 0, request: 0, rowCount: 4, slots: [0, 1] }],
    };
    const mergeStart = (separateMerge: boolean) => {
      const { timeline } = simulateKernel(handMadePlan({ ...hand, separateMerge }), profile);
      const merge = Array.from(timeline.slices.kind).indexOf(SLICE_KINDS.indexOf("merge"));
      const lastPieceUs = Math.max(...Array.from(timeline.slices.endUs).filter((_, i) => i !== merge));
      return { startUs: timeline.slices.startUs[merge]!, lastPieceUs };
    };
    const separate = mergeStart(true);
    expect(separate.startUs).toBeCloseTo(separate.lastPieceUs + profile.launch.graphNodeUs.value, 9);
    const fused = mergeStart(false);
    expect(fused.startUs).toBeLessThan(fused.lastPieceUs / 2);
  });

  test("query tiles of one request and head read their KV from HBM once while L2 holds it", () => {
    const tiles = (request: (i: number) => number) =>
      handMadePlan({
        workers: Array.from({ length: 8 }, (_, i) => [
          { request: request(i), kvStart: 0, kvEnd: 8192, rowStart: i * 128, rows: 128, tileRows: 128 },
        ]),
        requests: Array.from({ length: 8 }, () => ({ qoLen: 256, kvLen: 8192 })),
      });
    const shared = simulateKernel(
      tiles(() => 0),
      profile,
    );
    const apart = simulateKernel(
      tiles((i) => i),
      profile,
    );
    const rangeBytes = 8192 * 512;
    expect(shared.l2ServedBytes).toBe(7 * rangeBytes);
    expect(apart.l2ServedBytes).toBe(0);
    expect(apart.hbmBytes - shared.hbmBytes).toBe(7 * rangeBytes);
  });

  test("a range that left L2 is read again", () => {
    const tokens = Math.ceil(profile.device.l2Bytes.value / 512);
    const reread = handMadePlan({
      workers: [
        [
          { request: 0, kvStart: 0, kvEnd: 4096, rows: 4 },
          { request: 1, kvStart: 0, kvEnd: tokens, rows: 4 },
          { request: 0, kvStart: 0, kvEnd: 4096, rows: 4, rowStart: 4 },
        ],
      ],
    });
    expect(simulateKernel(reread, profile).l2ServedBytes).toBe(0);
  });

  test("large query tiles are bound by tensor throughput, small ones by memory", () => {
    const tile = (tileRows: number) =>
      simulateKernel(
        handMadePlan({
          workers: Array.from({ length: 264 }, (_, i) => [
            { request: i, kvStart: 0, kvEnd: 8192, rows: tileRows, tileRows },
          ]),
        }),
        profile,
      );
    expect(tile(128).tensorTflops).toBeGreaterThan(0.95 * 306);
    expect(tile(16).bandwidthGBps).toBeGreaterThan(0.98 * 3050);
  });

  test("a plan for a larger GPU is refused", () => {
    const plan = handMadePlan({ smCount: 148, workers: [] });
    expect(plan.header[Header.smCount]).toBe(148);
    expect(() => simulateKernel(plan, profile)).toThrow(PlanProfileMismatchError);
  });
});
