// Trace-event files: the rules that Perfetto and speedscope have, on replays of every kind.

import {
  type DeploymentOptions,
  ReplayTraceEvents,
  type Report,
  replay,
  type StepTimer,
  traceOf,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, timerOf, tinyModel } from "./helpers.ts";

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly args: Record<string, number | string>;
}

interface Request {
  arrivalUs: number;
  inputTokens: number;
  outputTokens: number;
}

const requestList: fc.Arbitrary<Request[]> = fc
  .array(
    fc.record({
      gapUs: fc.constantFrom(0, 0.1, 1 / 3, 1500, 20_000),
      inputTokens: fc.integer({ min: 1, max: 120 }),
      outputTokens: fc.integer({ min: 1, max: 30 }),
    }),
    { minLength: 1, maxLength: 40, size: "max" },
  )
  .map((drawn) => {
    let arrivalUs = 0;
    return drawn.map(({ gapUs, ...lengths }) => {
      arrivalUs += gapUs;
      return { arrivalUs, ...lengths };
    });
  });

async function record(
  requests: Request[],
  options: Partial<DeploymentOptions>,
  more: Partial<Parameters<typeof replay>[0]> = {},
): Promise<{ report: Report; events: TraceEvent[]; otherData: { replay: object } }> {
  let text = "";
  const events = new ReplayTraceEvents((part) => {
    text += part;
  });
  // Thirds, so that rounding has something to do.
  const stepTimer: StepTimer = timerOf((step) => 200 + step.tokens / 3 + 5 * step.count, { hostUs: 70 / 3 });
  const report = await replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: { model: tinyModel, gpu, attention: "balanced", ...options },
    stepTimer,
    seed: 1,
    onStep: (step) => events.step(step),
    ...more,
  });
  events.end(report);
  const { traceEvents, otherData } = JSON.parse(text);
  return { report, events: traceEvents, otherData };
}

const nanoseconds = (us: number): number => Math.round(us * 1000);

/** Slices of a thread in file order must be nested or apart; the stack of open ends is checked to the nanosecond. */
function expectNested(slices: TraceEvent[]): void {
  const sorted = [...slices].sort((a, b) => a.ts! - b.ts! || b.dur! - a.dur!);
  const ends: number[] = [];
  for (const { ts, dur } of sorted) {
    const start = nanoseconds(ts!);
    const end = start + nanoseconds(dur!);
    while (ends.length > 0 && ends.at(-1)! <= start) ends.pop();
    if (ends.length > 0) expect(end).toBeLessThanOrEqual(ends.at(-1)!);
    ends.push(end);
  }
}

describe("trace events of a replay", () => {
  it("count requests while there are steps, and none between them", async () => {
    await fc.assert(
      fc.asyncProperty(requestList, fc.integer({ min: 1, max: 3 }), async (requests, replicas) => {
        const { events } = await record(requests, { replicas, kvBlocks: 60, maxContextTokens: 400 });
        for (let replica = 0; replica < replicas; replica++) {
          const own = events.filter(({ pid }) => pid === replica);
          const steps = own.filter(({ cat }) => cat === "step");
          if (steps.length === 0) continue;
          const counts = own.filter(({ ph, name }) => ph === "C" && name === "requests");
          // Both are requests × time; a change that was missed would be as long as a step or a pause.
          const ofSteps = steps.reduce((sum, { dur, args }) => sum + dur! * (args["requests"] as number), 0);
          const ofCounts = counts.reduce((sum, { ts, args }, i) => {
            return sum + ((counts[i + 1]?.ts ?? ts!) - ts!) * (args["running"] as number);
          }, 0);
          expect(Math.abs(ofCounts - ofSteps)).toBeLessThan(0.1 * steps.length);
          expect(counts.at(-1)!.args["running"]).toBe(0);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("nest on every thread, start at 0, name every thread, and hold every step and request", async () => {
    const deployments = fc.record({
      replicas: fc.integer({ min: 1, max: 3 }),
      kvBlocks: fc.integer({ min: 20, max: 60 }),
      maxContextTokens: fc.constant(400),
      maxBatchedTokens: fc.integer({ min: 4, max: 200 }),
      disaggregation: fc.constantFrom(undefined, { prefillReplicas: 1, kvTransferGBps: 1 }),
      asyncScheduling: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(requestList, deployments, async (requests, drawn) => {
        const options = drawn.replicas === 1 ? { ...drawn, disaggregation: undefined } : drawn;
        const { report, events } = await record(requests, options);
        const threads = new Map<string, TraceEvent[]>();
        const named = new Set<string>();
        for (const event of events) {
          expect(["M", "X", "C"]).toContain(event.ph);
          const thread = `${event.pid} ${event.tid}`;
          if (event.ph === "M") named.add(`${thread} ${event.name}`);
          else expect(event.ts).toBeGreaterThanOrEqual(0);
          if (event.ph !== "X") continue;
          expect(event.dur).toBeGreaterThanOrEqual(0);
          threads.set(thread, [...(threads.get(thread) ?? []), event]);
        }
        for (const [thread, slices] of threads) {
          expect(named).toContain(`${thread} thread_name`);
          expect(named).toContain(`${thread} thread_sort_index`);
          expectNested(slices);
        }
        const of = (cat: string) => events.filter((event) => event.cat === cat);
        expect(of("step")).toHaveLength(report.metrics.steps);
        expect(of("request")).toHaveLength(report.metrics.completed);
        for (const { ts, dur, args, name } of of("request")) {
          const id = args["request"] as number;
          expect(name).toBe(`request ${id}`);
          expect(nanoseconds(ts!)).toBe(nanoseconds(report.requests!.arrivalUs[id]!));
          const parts = events.filter(
            (e) => ["queued", "prompt", "answer"].includes(e.cat!) && e.args["request"] === id,
          );
          const total = parts.reduce((sum, part) => sum + nanoseconds(part.dur!), 0);
          expect(total).toBe(nanoseconds(dur!));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("count what runs, waits and is held, and end at nothing", async () => {
    const requests = Array.from({ length: 20 }, (_, i) => ({ arrivalUs: i, inputTokens: 30, outputTokens: 10 }));
    const { events } = await record(requests, { maxRunningRequests: 4, kvBlocks: 100, maxContextTokens: 400 });
    const counters = events.filter(({ ph }) => ph === "C");
    const requestCounts = counters.filter(({ name }) => name === "requests").map(({ args }) => args);
    expect(Math.max(...requestCounts.map(({ running }) => running as number))).toBe(4);
    expect(requestCounts.at(-1)).toEqual({ running: 0, waiting: 0 });
    expect(counters.filter(({ name }) => name === "KV blocks").at(-1)!.args).toEqual({ used: 0 });
    expect(events.filter(({ cat }) => cat === "step").map(({ name }) => name)).toContain("mixed");
  });

  it("are whole where the replay was stopped, and say so", async () => {
    const controller = new AbortController();
    let steps = 0;
    const requests = Array.from({ length: 50 }, (_, i) => ({ arrivalUs: i * 2000, inputTokens: 30, outputTokens: 50 }));
    const { report, events, otherData } = await record(
      requests,
      { kvBlocks: 1000, maxContextTokens: 400 },
      {
        signal: controller.signal,
        stepTimer: timerOf(() => {
          if (++steps === 30) controller.abort();
          return 1000;
        }),
      },
    );
    expect(report.partial).toBe(true);
    expect(otherData.replay).toMatchObject({ partial: true });
    expect(events.some(({ name }) => name.endsWith("(unfinished)"))).toBe(true);
    expect(events.every(({ ph, dur }) => ph !== "X" || dur! >= 0)).toBe(true);
  });
});
