import {
  type Configuration,
  expandSweep,
  findModel,
  findProfile,
  findTrace,
  gpuFacts,
  KeptTraces,
  latencyOf,
  type Metrics,
  type Objective,
  openTrace,
  outcomeOfError,
  paretoFront,
  requirePrices,
  resolveDeployment,
  type SweepDocument,
  SweepError,
  type SweepRow,
  sweepCsv,
  sweepResults,
  sweepResultsSchema,
  sweepRow,
  sweepSchema,
  type Trace,
  type TraceRequest,
} from "@isochron/simulator";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const RUNS = { numRuns: 1000 };

function sweepOf(parts: Partial<SweepDocument>): SweepDocument {
  return { isochron: "sweep/1", base: {}, axes: {}, ...parts };
}

/** What all() of the definition says: nobody is at least as good in everything and better in something. */
function isOnFront(points: readonly (readonly number[])[], i: number): boolean {
  return !points.some(
    (other) => other.every((value, k) => value <= points[i]![k]!) && other.some((value, k) => value < points[i]![k]!),
  );
}

describe("the Pareto front", () => {
  it("holds exactly the points that no other point beats", () => {
    const coordinate = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom(0.5, 1e9, Number.POSITIVE_INFINITY));
    const points = fc
      .integer({ min: 1, max: 4 })
      .chain((size) => fc.array(fc.array(coordinate, { minLength: size, maxLength: size }), { maxLength: 40 }));
    fc.assert(
      fc.property(points, (all) => {
        const expected = all.map((_, i) => i).filter((i) => isOnFront(all, i));
        expect([...paretoFront(all)].sort((a, b) => a - b)).toEqual(expected);
      }),
      RUNS,
    );
  });

  it("goes up in its first coordinate, and depends on the order of points only where they are equal", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)), { maxLength: 30 }), fc.nat(), (all, shift) => {
        const front = paretoFront(all).map((i) => all[i]!);
        expect(front).toEqual([...front].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]));
        const turned = all.map((_, i) => all[(i + shift) % all.length]!);
        expect(paretoFront(turned).map((i) => turned[i]!)).toEqual(front);
      }),
      RUNS,
    );
  });
});

const value = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom("a", "b", true, null));
const axes = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("gpu", "tp", "rate", "slo.ttft", "slo.tpot", "seed"),
    values: fc.uniqueArray(value, { minLength: 1, maxLength: 4 }),
  }),
  { maxLength: 4, selector: ({ name }) => name },
);

describe("a sweep", () => {
  it("has every combination once, in the order of nested loops, without the excluded ones", () => {
    const rules = fc.array(fc.record({ axis: fc.nat(3), values: fc.array(value, { minLength: 1, maxLength: 2 }) }), {
      maxLength: 2,
    });
    fc.assert(
      fc.property(axes, rules, (list, excluded) => {
        const exclude = excluded
          .filter(({ axis }) => axis < list.length)
          .map(({ axis, values }) => ({ [list[axis]!.name]: values.length === 1 ? values[0]! : values }));
        const document = sweepOf({
          base: { trace: "t", slo: { e2e: 7 } },
          axes: Object.fromEntries(list.map(({ name, values }) => [name, values])),
          exclude,
        });
        const loop = (at: number, fields: Record<string, unknown>): Record<string, unknown>[] =>
          at === list.length
            ? [fields]
            : list[at]!.values.flatMap((one) => loop(at + 1, { ...fields, [list[at]!.name]: one }));
        const expected = loop(0, { trace: "t", "slo.e2e": 7 })
          .filter(
            (fields) =>
              !exclude.some((rule) =>
                Object.entries(rule).every(([path, wanted]) =>
                  ([] as unknown[]).concat(wanted).includes(fields[path] ?? null),
                ),
              ),
          )
          .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, one]) => one !== null)));
        if (expected.length === 0) expect(() => expandSweep(document)).toThrow(SweepError);
        else {
          const found = expandSweep(document);
          expect(found.map(({ fields }) => fields)).toEqual(expected);
          expect(found.map(({ index }) => index)).toEqual(expected.map((_, i) => i));
        }
      }),
      RUNS,
    );
  });

  it("lets one axis set several fields that go together, and an axis replace a field of the base", () => {
    const document = sweepOf({
      base: { trace: "t", rate: 1 },
      axes: {
        rate: [2],
        hardware: [
          { gpu: "a", tp: 1 },
          { gpu: "b", tp: 2, slo: { ttft: 5 } },
        ],
      },
    });
    expect(expandSweep(document).map(({ fields }) => fields)).toEqual([
      { trace: "t", rate: 2, gpu: "a", tp: 1 },
      { trace: "t", rate: 2, gpu: "b", tp: 2, "slo.ttft": 5 },
    ]);
  });

  it.each<[string, Partial<SweepDocument>, RegExp]>([
    [
      "an axis that holds a value twice",
      { axes: { tp: [1, 2, 1] } },
      /^field axes\.tp\[2\]: found 1, expected a value that/,
    ],
    ["a number again as text", { axes: { tp: [2, "2"] } }, /^field axes\.tp\[1\]: found "2", expected a value that/],
    [
      "two axes that set one field",
      { axes: { tp: [1], hardware: [{ tp: 2 }] } },
      /^field axes\.hardware: found "tp", expected a field that axes\.tp does not set/,
    ],
    [
      "a field that is also a folder of fields",
      { base: { slo: "ttft=1" }, axes: { "slo.tpot": [1] } },
      /^field axes\.slo\.tpot: found "slo\.tpot", expected a field that goes with base\.slo/,
    ],
    ["a field that is given twice", { base: { slo: { ttft: 1 }, "slo.ttft": 2 } }, /^field base\.slo\.ttft: found/],
    ["a rule about a field that is not there", { exclude: [{ gpu: "a" }] }, /^field exclude\[0\]: found "gpu"/],
    ["rules that leave nothing", { axes: { tp: [1] }, exclude: [{ tp: 1 }] }, /^field exclude: .*leave a combination/],
    ["a workload that is no field", { workload: ["rate"] }, /^field workload\[0\]: found "rate"/],
    [
      "more combinations than can be kept",
      { axes: Object.fromEntries(["a", "b", "c"].map((name) => [name, Array.from({ length: 100 }, (_, i) => i)])) },
      /^field axes: found 1000000, expected at most 100,000 combinations/,
    ],
  ])("refuses %s", (_, parts, message) => {
    expect(() => expandSweep(sweepOf(parts))).toThrow(message);
  });

  it("asks for the price of every GPU before anything runs", () => {
    const document = sweepOf({ axes: { gpu: ["a", null] }, cost: { perGpuHour: { a: 1 } } });
    expect(() => requirePrices(document, expandSweep(document), "b")).toThrow(
      /cost\.perGpuHour.*expected a price of b/,
    );
    expect(() => requirePrices(document, expandSweep(document), "a")).not.toThrow();
  });

  it.each([
    [{ isochron: "sweep/1", base: {}, axes: { tp: [] } }, ["axes", "tp"]],
    [{ isochron: "sweep/1", base: {}, axes: {}, slo: { ttftMs: { p98: 1 } } }, ["slo", "ttftMs"]],
    [{ isochron: "sweep/1", base: {}, axes: {}, slo: { ttftMs: { p99: 0 } } }, ["slo", "ttftMs", "p99"]],
    [{ isochron: "sweep/1", base: {}, axes: {}, objectives: ["ttftMs.p98"] }, ["objectives", 0]],
    [{ isochron: "sweep/1", base: {}, axes: {}, costs: {} }, []],
  ])("has a schema that refuses %j", (document, path) => {
    const result = sweepSchema.safeParse(document);
    expect(result.error?.issues[0]?.path).toEqual(path);
  });
});

const metricsWith = (ttft: number | null, tpot: number | null, rejected = 0): Metrics => {
  const latency = (p99: number | null) => ({
    mean: p99,
    median: p99,
    std: 0,
    min: p99,
    max: p99,
    p75: p99,
    p90: p99,
    p95: p99,
    p99,
  });
  return {
    completed: 10 - rejected,
    rejected,
    unfinished: 0,
    durationS: 10,
    inputTokens: 100,
    outputTokens: 100,
    requestThroughput: 1,
    outputTokenThroughput: 10,
    totalTokenThroughput: 20,
    goodput: null,
    ttftMs: latency(ttft),
    tpotMs: latency(tpot),
    itlMs: latency(tpot),
    e2eMs: latency(ttft),
    queueMs: latency(0),
    preemptions: 0,
    recomputedTokens: 0,
    prefixHitRatio: 0,
    kvUsage: { mean: 0, max: 0 },
    meanConcurrency: 1,
    peakConcurrency: 1,
    steps: 1,
    tokensPerStep: { mean: 1, max: 1 },
    batchSize: { mean: 1, max: 1 },
    smBusyFraction: null,
    attentionImbalance: null,
    mfu: 0,
    mbu: 0,
    stepTimeShare: { attention: 0, gemm: 1, collective: 0, other: 0, host: 0 },
  };
};

const PRICES: Readonly<Record<string, number>> = { a: 2, b: 3, c: 3 };

const LLAMA = resolveDeployment({
  model: findModel("llama-3.1-8b"),
  gpu: gpuFacts(findProfile("h100-sxm")),
  attention: "balanced",
}).description;

function rowsOf(
  document: SweepDocument,
  configurations: readonly Configuration[],
  metricsFor: (configuration: Configuration) => Metrics | undefined,
): SweepRow[] {
  return configurations.flatMap((configuration) => {
    const metrics = metricsFor(configuration);
    if (metrics === undefined) return [];
    const { fields } = configuration;
    const deployment = { ...LLAMA, tensorParallel: fields["tp"] as number, stepTimer: "analytic", rate: 1 };
    const trace = { name: "t", format: "memory", sha256: "", requestsUsed: 10, linesSkipped: 0 };
    const outcome = { status: "completed", trace, deployment, metrics, warnings: [] } as const;
    return [sweepRow(configuration, outcome, { document, command: "isochron replay t" })];
  });
}

describe("the results of a sweep", () => {
  const document = sweepOf({
    base: { trace: "t" },
    axes: { rate: [1, 2], gpu: ["a", "b", "c"], tp: [1, 2], seed: [1, 2] },
    cost: { perGpuHour: PRICES },
    slo: { ttftMs: { p99: 5 }, tpotMs: { p99: 5 }, rejectedShare: 0.1 },
  });
  const configurations = expandSweep(document);
  const outcome = fc.option(
    fc.record({ ttft: fc.integer({ min: 1, max: 8 }), tpot: fc.integer({ min: 1, max: 8 }), rejected: fc.nat(2) }),
    { nil: undefined, freq: 8 },
  );
  const outcomes = fc.array(outcome, { minLength: configurations.length, maxLength: configurations.length });

  it("name the front and the cheapest deployment within limits of every workload, as looking at all of them does", () => {
    fc.assert(
      fc.property(outcomes, (found) => {
        const rows = rowsOf(document, configurations, ({ index }) => {
          const one = found[index];
          return one && metricsWith(one.ttft, one.tpot, one.rejected);
        });
        const results = sweepResults(document, configurations, rows, { version: "0", command: "c" });
        expect(results.counts).toMatchObject({ total: 24, completed: rows.length, missing: 24 - rows.length });
        expect(results.groups.map(({ workload }) => workload)).toEqual([{ rate: 1 }, { rate: 2 }]);
        for (const { workload, front, smallest } of results.groups) {
          // One deployment is two seeds, and is as bad as the worse one.
          const deployments = ["a", "b", "c"].flatMap((gpu) =>
            [1, 2].flatMap((tp) => {
              const own = configurations.filter(
                ({ fields }) => fields["rate"] === workload["rate"] && fields["gpu"] === gpu && fields["tp"] === tp,
              );
              const runs = own.map(({ index }) => found[index]);
              if (runs.some((run) => run === undefined)) return [];
              const worst = (key: "ttft" | "tpot" | "rejected") => Math.max(...runs.map((run) => run![key]));
              const [ttft, tpot, rejected] = [worst("ttft"), worst("tpot"), worst("rejected")];
              const good = ttft <= 5 && tpot <= 5 && rejected <= 1;
              return [{ fields: { gpu, tp }, cost: PRICES[gpu]! * tp, gpus: tp, ttft, tpot, rejected, good }];
            }),
          );
          const least = Math.min(...deployments.map(({ rejected }) => rejected));
          const weighed = deployments.filter(({ rejected }) => rejected <= Math.max(least, 1));
          const points = weighed.map(({ cost, ttft, tpot }) => [cost, ttft, tpot]);
          const expected = weighed.filter((_, i) => isOnFront(points, i)).map(({ fields }) => fields);
          expect(front.map(({ fields }) => JSON.stringify(fields)).sort()).toEqual(
            expected.map((fields) => JSON.stringify(fields)).sort(),
          );
          const good = weighed.filter((one) => one.good);
          const cheapest = good
            .map((one, i) => ({ ...one, i }))
            .sort((x, y) => x.cost - y.cost || x.gpus - y.gpus || x.i - y.i)[0];
          expect(smallest?.fields).toEqual(cheapest?.fields);
          expect(smallest?.costPerHour).toBe(cheapest?.cost);
        }
      }),
      RUNS,
    );
  });

  it("are a document that its schema takes, and a table that a CSV reader reads back", () => {
    const rows = rowsOf(document, configurations, ({ index }) => metricsWith(index + 1, 2, index % 2));
    const failed: SweepRow[] = [
      ...rows.slice(1),
      sweepRow(configurations[0]!, outcomeOfError(new Error('=1,"two"\nlines')), { document, command: "isochron" }),
    ].sort((one, other) => one.configuration - other.configuration);
    const results = sweepResults(document, configurations, failed, { version: "0", command: "c" });
    expect(sweepResultsSchema.parse(JSON.parse(JSON.stringify(results)))).toEqual(results);
    const records = parse([...sweepCsv(results)].join(""), { columns: true }) as Record<string, string>[];
    expect(records).toHaveLength(24);
    records.forEach((record, i) => {
      const row = failed[i]!;
      expect(record["configuration"]).toBe(String(i));
      for (const [path, one] of Object.entries(row.fields)) expect(record[path]).toBe(String(one));
      expect(record["ttftMs.p99"]).toBe(row.metrics === undefined ? "" : String(row.metrics.ttftMs.p99));
      expect(record["error"]).toBe(i === 0 ? `'=1,"two"\nlines` : "");
    });
  });

  it("weigh GPUs where there are no prices, and say nothing of limits where there are none", () => {
    const plain = sweepOf({ base: { trace: "t" }, axes: { tp: [1, 2, 4] } });
    const all = expandSweep(plain);
    const rows = rowsOf(plain, all, ({ fields }) => metricsWith(9 - Number(fields["tp"]), 1));
    const [group] = sweepResults(plain, all, rows, { version: "0", command: "c" }).groups;
    expect(group).toMatchObject({ workload: {}, deployments: 3, smallest: null });
    expect(group!.front.map(({ gpus, costPerHour, meetsSlo }) => [gpus, costPerHour, meetsSlo])).toEqual([
      [1, null, null],
      [2, null, null],
      [4, null, null],
    ]);
  });

  it("name the deployment with most goodput for its cost, the worse repetition of each counting", () => {
    const priced = sweepOf({
      base: { trace: "t" },
      axes: { gpu: ["a", "b"], tp: [1, 2], seed: [0, 1] },
      cost: { perGpuHour: { a: 1, b: 4 } },
    });
    const all = expandSweep(priced);
    // By gpu, tp and seed: per hour, a has 3, then 2.5 by its worse seed; b has 2, then 2.75.
    const goodputs = [3, 5, 5, 9, 8, 9, 23, 22];
    const results = (of: (index: number) => number | null) =>
      sweepResults(
        priced,
        all,
        rowsOf(priced, all, ({ index }) => ({ ...metricsWith(1, 1), goodput: of(index) })),
        { version: "0", command: "c" },
      ).groups[0]!.mostGoodput;
    expect(results((index) => goodputs[index]!)).toMatchObject({ fields: { gpu: "a", tp: 1 }, goodput: 3 });
    expect(results((index) => (index === 1 ? 1 : goodputs[index]!))).toMatchObject({
      fields: { gpu: "b", tp: 2 },
      goodput: 22,
    });
    expect(results((index) => (index < 4 ? 0 : null))).toBeNull();
    expect(results(() => null)).toBeNull();
  });

  it("leave out what has no sample to weigh, and miss its limit", () => {
    const all = expandSweep(document);
    const rows = rowsOf(document, all, () => metricsWith(null, null));
    const { groups } = sweepResults(document, all, rows, { version: "0", command: "c" });
    expect(groups.map(({ deployments, front, smallest }) => [deployments, front, smallest])).toEqual([
      [0, [], null],
      [0, [], null],
    ]);
    expect(rows[0]!.misses).toEqual([
      { metric: "ttftMs.p99", value: null, limit: 5 },
      { metric: "tpotMs.p99", value: null, limit: 5 },
    ]);
  });

  it("find every latency by its name", () => {
    const metrics = metricsWith(3, 4);
    const asked: readonly Objective[] = ["ttftMs.p99", "tpotMs.mean", "queueMs.max"];
    expect(asked.map((objective) => latencyOf(metrics, objective))).toEqual([3, 4, 0]);
  });

  it("tell what does not fit from what cannot be, and both from what failed", () => {
    const gpu = gpuFacts(findProfile("rtx-4090"));
    const outcomeOf = (options: { model: string; tensorParallel: number }) => {
      try {
        resolveDeployment({ ...options, model: findModel(options.model), gpu, attention: "balanced" });
      } catch (error) {
        return outcomeOfError(error);
      }
      return undefined;
    };
    expect(outcomeOf({ model: "qwen3-32b", tensorParallel: 1 })).toMatchObject({
      status: "does-not-fit",
      error: { field: "gpu", expected: expect.stringMatching(/more memory or tensor, pipeline or expert parallelism/) },
    });
    expect(outcomeOf({ model: "qwen3-32b", tensorParallel: 3 })).toMatchObject({
      status: "impossible",
      error: { field: "tensorParallel", value: 3 },
    });
    expect(outcomeOfError(new TypeError("a bug"))).toEqual({ status: "failed", error: { message: "a bug" } });
  });
});

async function requestsOf(trace: Trace): Promise<TraceRequest[]> {
  const requests: TraceRequest[] = [];
  for await (const chunk of trace.chunks()) requests.push(...chunk);
  return requests;
}

describe("traces that are kept", () => {
  const { file } = findTrace("mooncake-conversation");

  it.each([{}, { rate: 3 }, { rate: 0.7, spreadTicks: true }, { limit: 10, rate: 1.1 }])(
    "give the same requests as the file, first and later: %j",
    async (options) => {
      const limited = { limit: 500, ...options };
      const expected = await requestsOf(await openTrace(file, limited));
      const traces = new KeptTraces();
      for (let i = 0; i < 3; i++) {
        const trace = await traces.open(file, limited);
        expect(await requestsOf(trace)).toEqual(expected);
        expect(trace.identity()).toMatchObject({ requestsUsed: expected.length, format: "mooncake" });
      }
    },
  );

  it("are not those that someone changed, half read, or too long to keep", async () => {
    const expected = await requestsOf(await openTrace(file, { limit: 300 }));
    for (const most of [1_000, 300, 299]) {
      const traces = new KeptTraces(most);
      for (const request of await requestsOf(await traces.open(file, { limit: 300 }))) request.arrivalUs = -1;
      for await (const chunk of (await traces.open(file, { limit: 299 })).chunks()) if (chunk.length > 0) break;
      for (let i = 0; i < 2; i++) {
        expect(await requestsOf(await traces.open(file, { limit: 300 }))).toEqual(expected);
        expect(await requestsOf(await traces.open(file, { limit: 299 }))).toEqual(expected.slice(0, 299));
      }
    }
  });

  it("refuse a rate that cannot be, as the file does", async () => {
    await expect(new KeptTraces().open(file, { rate: 0 })).rejects.toThrow(/rate is 0, expected a number above 0/);
  });
});
