import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  BUNDLED_TRACES,
  findTrace,
  inspectTrace,
  openTrace,
  syntheticTrace,
  type Trace,
  TraceError,
  type TraceOptions,
  type TraceRequest,
  writeTrace,
} from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
let files = 0;

function file(content: string | Buffer, name = "trace"): string {
  const path = join(folder, `${files++}-${name}`);
  writeFileSync(path, content);
  return path;
}

async function requestsOf(trace: Trace): Promise<TraceRequest[]> {
  const all: TraceRequest[] = [];
  for await (const requests of trace.chunks()) all.push(...requests);
  return all;
}

async function read(content: string | Buffer, options: TraceOptions = {}): Promise<TraceRequest[]> {
  return requestsOf(await openTrace(file(content), options));
}

async function failure(content: string | Buffer, options: TraceOptions = {}): Promise<TraceError> {
  const error = await read(content, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TraceError);
  return error as TraceError;
}

const AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n";
const MOONCAKE = '{"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [7, 9]}\n';

describe("a format", () => {
  it.each<
    [string, string, string, { times: number[]; lengths: number[][]; content?: number[][]; blockTokens?: number }]
  >([
    [
      "azure-csv",
      "of 2024, with a time zone, across midnight",
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-09 23:59:59.500000+00:00,1,2\n2024-05-10 00:00:00+00:00,3,4\n",
      {
        times: [0, 500_000],
        lengths: [
          [1, 2],
          [3, 4],
        ],
      },
    ],
    [
      "mooncake",
      "blocks of 16, known from the first request",
      '{"timestamp": 1.5, "input_length": 40, "output_length": 5, "hash_ids": [0, 1, 2]}\n',
      { times: [0], lengths: [[40, 5]], content: [[0, 1, 2]], blockTokens: 16 },
    ],
    [
      "llmservingsim",
      "nanoseconds, token ids",
      [
        {
          input_toks: 33,
          output_toks: 3,
          arrival_time_ns: 1000,
          input_tok_ids: Array.from({ length: 33 }, (_, i) => i),
        },
        {
          input_toks: 32,
          output_toks: 2,
          arrival_time_ns: 3000,
          input_tok_ids: Array.from({ length: 32 }, (_, i) => i % 16),
        },
        {
          input_toks: 16,
          output_toks: 1,
          arrival_time_ns: 4000,
          input_tok_ids: Array.from({ length: 16 }, (_, i) => i),
        },
      ]
        .map((record) => JSON.stringify(record))
        .join("\n"),
      {
        times: [0, 2, 3],
        lengths: [
          [33, 3],
          [32, 2],
          [16, 1],
        ],
        content: [[0, 1], [0, 2], [0]],
        blockTokens: 16,
      },
    ],
  ])("%s (%s) is recognised and read", async (format, _, content, expected) => {
    for (const bytes of [content, gzipSync(content), `\uFEFF${content}`]) {
      const trace = await openTrace(file(bytes));
      expect(trace.format).toBe(format);
      expect(trace.blockTokens).toBe(expected.blockTokens ?? 0);
      const requests = await requestsOf(trace);
      requests.forEach(({ arrivalUs }, i) => {
        // Wall clocks of this century have a resolution of a quarter microsecond in float64.
        expect(Math.abs(arrivalUs - expected.times[i]!)).toBeLessThanOrEqual(0.5);
      });
      expect(requests.map((r) => [r.inputTokens, r.outputTokens])).toEqual(expected.lengths);
      expect(requests.flatMap((r) => (r.content === undefined ? [] : [[...r.content]]))).toEqual(
        expected.content ?? [],
      );
    }
  });

  it("can be demanded, and then must fit", async () => {
    expect(await read(MOONCAKE, { format: "mooncake" })).toHaveLength(1);
    const error = await failure(MOONCAKE, { format: "azure-csv" });
    expect(error).toMatchObject({
      line: 1,
      expected: expect.stringContaining("TIMESTAMP,ContextTokens,GeneratedTokens"),
    });
  });
});

describe("bad input", () => {
  it("a missing file, a folder, an empty and a blank file are named for what they are", async () => {
    const of = async (path: string): Promise<unknown> => openTrace(path).catch((error: unknown) => error);
    expect(await of(join(folder, "nowhere.csv"))).toMatchObject({ name: "TraceError", value: "no such file" });
    expect(await of(folder)).toMatchObject({ name: "TraceError", value: "a folder" });
    expect(await failure("")).toMatchObject({ value: "an empty file", expected: "at least one request" });
    expect(await failure("\n \n\n")).toMatchObject({ value: "only blank lines" });
    expect(await failure(gzipSync(""))).toMatchObject({ value: "only blank lines" });
    expect((await failure(AZURE)).message).toMatch(/found no request, expected at least one request/);
  });

  it.each([
    ["HTML", "<!DOCTYPE html>\n<html><body>404</body></html>\n", 1, "header"],
    ["noise", Buffer.from([0, 1, 2, 3, 250, 251, 10, 13, 0, 77]), 1, "header"],
    ["an unknown header", "time,in,out\n1,2,3\n", 1, "header"],
    ["a wrong column", "TIMESTAMP,ContextTokens,OutputTokens\n2023-11-16 18:15:46,1,2\n", 1, "header"],
    ["unknown keys", '{"time": 1}\n', 1, "keys"],
    ["broken JSON at first", '{"timestamp": 0,\n', 1, ""],
    ["broken JSON later", `${MOONCAKE}{"timestamp": \n`, 2, ""],
    ["a list", `${MOONCAKE}[1, 2]\n`, 2, ""],
    ["a missing column", `${AZURE}2023-11-16 18:15:46.6,374\n`, 2, "GeneratedTokens"],
    ["a negative count", `${AZURE}2023-11-16 18:15:46.6,374,44\n2023-11-16 18:15:47,-3,44\n`, 3, "ContextTokens"],
    ["a fractional count", `${AZURE}2023-11-16 18:15:46.6,374,4.5\n`, 2, "GeneratedTokens"],
    ["a count of zero", MOONCAKE.replace('"output_length": 5', '"output_length": 0'), 1, "output_length"],
    ["a huge count", `${AZURE}2023-11-16 18:15:46.6,99999999999,4\n`, 2, "ContextTokens"],
    ["an empty cell", `${AZURE}2023-11-16 18:15:46.6,,4\n`, 2, "ContextTokens"],
    ["a bad time", `${AZURE}yesterday,374,44\n`, 2, "TIMESTAMP"],
    ["a date that does not exist", `${AZURE}2023-13-16 18:15:46.6,374,44\n`, 2, "TIMESTAMP"],
    ["a time that is no number", MOONCAKE.replace('"timestamp": 0', '"timestamp": null'), 1, "timestamp"],
    ["a string for a list", `${MOONCAKE}${MOONCAKE.replace("[7, 9]", '"7,9"')}`, 2, "hash_ids"],
    ["too many block ids", `${MOONCAKE}${MOONCAKE.replace("[7, 9]", "[7, 9, 11]")}`, 2, "hash_ids"],
    ["a fractional block id", `${MOONCAKE}${MOONCAKE.replace("[7, 9]", "[7.5, 9]")}`, 2, "hash_ids"],
    ["a newer version of our own format", '{"isochron":"trace/2"}\n', 1, "isochron"],
    ["a session of LLMServingSim", '{"session_id": 1, "arrival_time_ns": 0, "sub_requests": []}\n', 1, "sub_requests"],
  ])("%s is refused with file, line and field", async (_, content, line, field) => {
    const error = await failure(content);
    expect(error).toMatchObject({ line, field });
    expect(error.expected).not.toBe("");
    expect(error.message).toContain(`:${line}: `);
    expect(error.message.length).toBeLessThan(1200);
  });

  it("a gzip file that was cut off says so", async () => {
    const lines = Array.from({ length: 5000 }, (_, i) =>
      MOONCAKE.replace("1000", String(600 + ((i * 7919) % 400))),
    ).join("");
    const whole = gzipSync(lines);
    for (const cut of [
      whole.subarray(0, whole.length >> 1),
      whole.subarray(0, whole.length - 4),
      whole.subarray(0, 12),
    ]) {
      expect((await failure(cut)).message).toMatch(/gzip data is broken.*expected a whole gzip file/);
    }
    const csv = gzipSync(AZURE + "2023-11-16 18:15:46.6805900,374,44\r\n".repeat(20_000));
    expect((await failure(csv.subarray(0, csv.length - 40))).message).toMatch(/gzip data is broken/);
  });

  it("a line of 10 MB does not fill memory but ends the reading, as CSV and as JSON, first or later", async () => {
    const long = "9".repeat(10 * 2 ** 20);
    for (const content of [
      long,
      `${AZURE}2023-11-16 18:15:46,${long},4\n`,
      `{"timestamp": ${long}}`,
      `${MOONCAKE}{"timestamp": ${long}}\n`,
    ]) {
      const error = await failure(content);
      expect(error.message).toMatch(/longer than|line is/);
      expect(error.message.length).toBeLessThan(300);
    }
  });

  it("invalid lines are left out and counted where that is asked for", async () => {
    const content = `${AZURE}2023-11-16 18:15:46,1,2\nnonsense\n2023-11-16 18:15:47,3,-4\n2023-11-16 18:15:48,5,6\n`;
    const trace = await openTrace(file(content), { skipInvalid: true });
    expect((await requestsOf(trace)).map((r) => r.inputTokens)).toEqual([1, 5]);
    expect(trace.identity()).toMatchObject({ requestsUsed: 2, linesSkipped: 2 });
    expect(trace.warnings()[0]).toMatch(/^2 invalid lines skipped, the first: .*:3: TIMESTAMP is "nonsense"/);
    const none = await openTrace(file(`${AZURE}a,b,c\n`), { skipInvalid: true });
    await expect(requestsOf(none)).rejects.toThrow(/found no valid request in 1 lines/);
  });
});

describe("arrivals", () => {
  const lines = (times: readonly number[]): string =>
    times.map((timestamp, i) => `${JSON.stringify({ timestamp, input_length: i + 1, output_length: 1 })}\n`).join("");
  const times = async (list: readonly number[], options: TraceOptions = {}): Promise<number[]> =>
    (await read(lines(list), options)).map(({ arrivalUs }) => arrivalUs);

  it("that go back in time are sorted, stably, with a warning", async () => {
    const trace = await openTrace(file(lines([5, 3, 9, 3, 4])));
    const requests = await requestsOf(trace);
    expect(requests.map((r) => r.arrivalUs)).toEqual([0, 0, 1000, 2000, 6000]);
    expect(requests.map((r) => r.inputTokens)).toEqual([2, 4, 5, 1, 3]);
    expect(trace.warnings()).toEqual(["3 requests were out of order and were sorted"]);
  });

  it("in any order come out sorted, equal times in file order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1 }), async (list) => {
        const order = list.map((at, i) => ({ at, i })).sort((a, b) => a.at - b.at || a.i - b.i);
        const requests = await read(lines(list));
        expect(requests.map((r) => r.inputTokens - 1)).toEqual(order.map(({ i }) => i));
      }),
      { numRuns: 100 },
    );
  });

  it("further out of order than the window are an error that names the line", async () => {
    const list = Array.from({ length: 140_000 }, (_, i) => 1000 + i);
    expect(await failure(lines([...list, 5]))).toMatchObject({ line: 140_001, field: "time" });
    const late = Array.from({ length: 140_000 }, (_, i) => 1000 + i);
    late[139_999] = 1000 + 130_000;
    expect((await read(lines(late))).length).toBe(140_000);
  });

  it("come faster by the rate, and only as many as the limit", async () => {
    expect(await times([0, 10, 30], { rate: 2 })).toEqual([0, 5000, 15_000]);
    expect(await times([0, 10, 30], { limit: 2 })).toEqual([0, 10_000]);
    for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(times([0], { rate })).rejects.toThrow(RangeError);
    }
    await expect(times([0], { limit: 0 })).rejects.toThrow(RangeError);
  });

  it("on one tick are spread evenly over it, no further than the smallest tick", async () => {
    const spread = await times([0, 0, 0, 3, 3, 9, 12, 12], { spreadTicks: true });
    expect(spread).toEqual([0, 1000, 2000, 3000, 4500, 9000, 12_000, 13_500]);
    expect(await times([4, 4, 4], { spreadTicks: true })).toEqual([0, 0, 0]);
    expect(await times([0, 0, 3], { spreadTicks: true, rate: 3 })).toEqual([0, 500, 1000]);
  });
});

describe("bundled traces", () => {
  it.each([
    ["azure-conv-2023", 19_366, 3501.72, 1.09, 1020, 129, null],
    ["azure-code-2023", 8819, 3435.95, 13.15, 1469, 13, null],
    // The bound counts whole prefixes; 0.3736 in the published statistics counts any block seen before.
    ["mooncake-conversation", 12_031, 3537, 3.03, 6909, 350, 0.3736],
  ])(
    "%s has the requests, span and lengths that were published",
    async (name, count, spanS, cv, input, output, bound) => {
      const found = findTrace(name);
      const inspection = await inspectTrace(await openTrace(found.file, { name: found.name }));
      expect(inspection.requests).toBe(count);
      expect(inspection.spanS).toBeCloseTo(spanS, 1);
      expect(inspection.gapCv).toBeCloseTo(cv, 1);
      expect(inspection.input.p50).toBe(input);
      expect(inspection.output.p50).toBe(output);
      if (bound === null) expect(inspection.prefixHitBound).toBeNull();
      else expect(inspection.prefixHitBound).toBeCloseTo(bound, 2);
      expect(inspection.identity.name).toBe(name);
      const bytes = readFileSync(found.file);
      expect(inspection.identity.sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    },
  );

  it("are looked up by name in a folder, and other names are paths", () => {
    expect(findTrace("azure-conv-2023", "/elsewhere").file).toBe(
      join("/elsewhere", BUNDLED_TRACES["azure-conv-2023"].file),
    );
    expect(findTrace("my.csv")).toEqual({ file: "my.csv" });
    expect(findTrace("toString")).toEqual({ file: "toString" });
  });
});

describe("synthetic traces", () => {
  const description = {
    requests: 20_000,
    arrivals: { kind: "gamma", perSecond: 10, cv: 2 },
    input: { kind: "lognormal", median: 500, sigma: 1, max: 10_000 },
    output: { kind: "uniform", low: 10, high: 20 },
    seed: 3,
  } as const;

  it("have the rate, burstiness and lengths that were asked for, and repeat by seed", async () => {
    const inspection = await inspectTrace(syntheticTrace(description));
    expect(inspection.requestsPerS / 10).toBeCloseTo(1, 1);
    expect(inspection.gapCv / 2).toBeCloseTo(1, 1);
    expect(inspection.input.p50 / 500).toBeCloseTo(1, 1);
    expect([inspection.output.min, inspection.output.max]).toEqual([10, 20]);
    expect(await inspectTrace(syntheticTrace(description))).toEqual(inspection);
    const other = await inspectTrace(syntheticTrace({ ...description, seed: 4 }));
    expect(other.identity.sha256).not.toBe(inspection.identity.sha256);
    expect(other.input).not.toEqual(inspection.input);
  });

  it("refuse descriptions that make no trace", () => {
    for (const bad of [
      { ...description, requests: 0 },
      { ...description, arrivals: { kind: "poisson", perSecond: 0 } as const },
      { ...description, input: { kind: "uniform", low: 5, high: 4 } as const },
      { ...description, output: { kind: "constant", tokens: 1.5 } as const },
    ]) {
      expect(() => syntheticTrace(bad)).toThrow(RangeError);
    }
  });
});

it("a trace written in our own format reads back as it was", async () => {
  const source = findTrace("mooncake-conversation").file;
  const original = await openTrace(source, { limit: 500, spreadTicks: true, rate: 2 });
  const path = join(folder, "converted.jsonl");
  await writeTrace(original, path);
  const copy = await openTrace(path);
  expect(copy).toMatchObject({ format: "isochron", blockTokens: 512, rate: 1 });
  expect(await requestsOf(copy)).toEqual(await requestsOf(original));
});
