// A log whose columns are named by its owner: it must read as the same requests whatever it is written as.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ARRIVAL_COLUMNS, openTrace, type TraceColumns, TraceError, type TraceOptions } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
let files = 0;

function write(content: string | Buffer): string {
  const path = join(folder, `${files++}.log`);
  writeFileSync(path, content);
  return path;
}

async function read(content: string | Buffer, columns: TraceColumns, options: TraceOptions = {}) {
  const trace = await openTrace(write(content), { ...options, columns });
  const requests: number[][] = [];
  for await (const chunk of trace.chunks()) {
    for (const { arrivalUs, inputTokens, outputTokens } of chunk) requests.push([arrivalUs, inputTokens, outputTokens]);
  }
  return { trace, requests };
}

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const NAMES = { inputTokens: "prompt_toks", outputTokens: "completion_toks" };

/** A wall clock of this century resolves a quarter of a microsecond in float64, a tenth of one at most is lost beside it. */
const near = (requests: readonly number[][], expected: readonly number[][]): void => {
  expect(requests.map(([, ...tokens]) => tokens)).toEqual(expected.map(([, ...tokens]) => tokens));
  for (const [i, [us]] of requests.entries()) expect(Math.abs(us! - expected[i]![0]!)).toBeLessThan(0.5);
};

describe("columns of one's own", () => {
  const requestsOf = fc.array(
    fc.record({
      gapMs: fc.nat(5000),
      input: fc.integer({ min: 1, max: 1e6 }),
      output: fc.integer({ min: 1, max: 1e5 }),
    }),
    { minLength: 1, maxLength: 20 },
  );

  it("give the same requests from CSV and JSON lines, gzip or not, with arrivals in every unit", async () => {
    await fc.assert(
      fc.asyncProperty(
        requestsOf,
        fc.constantFrom(...ARRIVAL_COLUMNS),
        fc.boolean(),
        fc.constantFrom(",", ";", "\t"),
        async (rows, arrival, isZipped, comma) => {
          let ms = START_MS;
          const timed = rows.map(({ gapMs, input, output }) => {
            ms += gapMs;
            return { ms, input, output };
          });
          const expected = timed.map((row) => [(row.ms - timed[0]!.ms) * 1000, row.input, row.output]);
          const time = (at: number): string | number =>
            ({
              arrival: new Date(at).toISOString(),
              arrivalS: at / 1000,
              arrivalMs: at,
              arrivalUs: at * 1000,
              arrivalNs: at * 1e6,
            })[arrival];
          const pack = (text: string): string | Buffer => (isZipped ? gzipSync(text) : text);
          const csv = timed.map((row) => ["acme", time(row.ms), row.output, `"a${comma} b"`, row.input].join(comma));
          const header = ["who", "when", "completion_toks", "why", "prompt_toks"].join(comma);
          const columns = { ...NAMES, [arrival]: "when" };
          near((await read(pack([header, ...csv].join("\n")), columns)).requests, expected);
          const json = timed.map((row) =>
            JSON.stringify({ id: "x", log: { when: time(row.ms) }, usage: { in: row.input, out: row.output } }),
          );
          const paths = { [arrival]: "log.when", inputTokens: "usage.in", outputTokens: "usage.out" };
          near((await read(pack(json.join("\n")), paths)).requests, expected);
        },
      ),
      { numRuns: 200 },
    );
  });

  const gateway = { arrivalS: "created", inputTokens: "usage.prompt_tokens", outputTokens: "usage.completion_tokens" };

  it("leave out and count requests that got no answer, and name the key that a line lacks", async () => {
    const lines = [
      { created: 5, error: "overloaded" },
      { created: 6, usage: { prompt_tokens: 10, completion_tokens: 0 } },
      { created: 7, usage: { prompt_tokens: 20, completion_tokens: 3 } },
    ].map((line) => JSON.stringify(line));
    const error = await read(lines.join("\n"), gateway).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TraceError);
    expect(error).toMatchObject({ line: 1, field: "usage.prompt_tokens", value: "missing", isOneRecord: true });
    const { trace, requests } = await read(lines.join("\n"), gateway, { skipInvalid: true });
    expect(requests).toEqual([[0, 20, 3]]);
    expect(trace.identity()).toMatchObject({ format: "columns", requestsUsed: 1, linesSkipped: 1 });
    expect(trace.warnings()[1]).toBe("1 request left out that failed when the trace was recorded");
  });

  it("take a key with dots in it as it stands before a way through objects", async () => {
    const line = JSON.stringify({ "usage.in": 7, usage: { in: 8 }, out: 2, at: 0 });
    const { requests } = await read(line, { arrivalMs: "at", inputTokens: "usage.in", outputTokens: "out" });
    expect(requests).toEqual([[0, 7, 2]]);
  });

  it.each([
    ["a CSV", "when,in,out\n1,2,3\n", "header", '"when,in,out"', "prompt_toks, completion_toks among the columns"],
    [
      "a CSV of semicolons",
      "when;prompt_toks;out\n1;2;3\n",
      "header",
      '"when;prompt_toks;out"',
      "completion_toks among the columns",
    ],
    [
      "JSON lines",
      '{"when":1,"usage":{"in":2}}',
      "keys",
      "when, usage.in",
      "prompt_toks, completion_toks among the keys",
    ],
  ])("that %s does not have are refused by name, with those that it has", async (_, text, field, value, expected) => {
    const error = await read(text, { ...NAMES, arrivalMs: "when" }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ line: 1, field, value, expected, isOneRecord: false, isUnknownFormat: false });
  });

  it.each([
    [
      "arrival",
      "1763700000088",
      "a time like 2023-11-16 18:15:46.6805900 (a number is arrivalS, arrivalMs, arrivalUs or arrivalNs)",
    ],
    ["arrival", "2026-02-30 03:04:05", "a date that exists (a number is arrivalS, arrivalMs, arrivalUs or arrivalNs)"],
    ["arrivalMs", "2026-01-02T03:04:05Z", "a time as a finite number (a date and time is arrival)"],
    [
      "arrivalS",
      "1767323045036",
      "a time of at most 9007199254 in its unit (smaller units are arrivalMs, arrivalUs and arrivalNs)",
    ],
  ])("that call a time %s which is another say what it would be", async (arrival, value, expected) => {
    const error = await read(`at,prompt_toks,completion_toks\n${value},1,2\n`, { ...NAMES, [arrival]: "at" }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ line: 2, field: "at", value: `"${value}"`, expected });
  });

  it("are told in a sentence when they are not there", async () => {
    const error = await read('{"when":1,"in":2}', { ...NAMES, arrivalMs: "when" }).catch((thrown: unknown) => thrown);
    expect((error as Error).message).toMatch(
      /:1: keys are when, in, expected prompt_toks, completion_toks among the keys$/,
    );
  });

  it("need exactly one arrival, and no format beside them", async () => {
    await expect(read("a\n", NAMES)).rejects.toThrow("columns has no arrival, expected one arrival");
    const two = { ...NAMES, arrivalS: "a", arrivalMs: "b" };
    await expect(read("a\n", two)).rejects.toThrow("columns has arrivalS and arrivalMs, expected one arrival");
    await expect(read("a\n", gateway, { format: "vidur" })).rejects.toThrow("expected none beside columns");
  });
});
