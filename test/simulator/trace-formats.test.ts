// Every trace format × everything that can be wrong with a file, from samples of what their publishers wrote.

import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { openTrace, TRACE_FORMAT_NAMES, TraceError, type TraceOptions, type TraceRequest } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { SAMPLES, SampleLines, samplesDirectory } from "../support/trace-samples.ts";

const folder = temporaryFolder();
let files = 0;

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

function write(content: string | Buffer): string {
  const path = join(folder, `${files++}.trace`);
  writeFileSync(path, content);
  return path;
}

async function read(path: string, options: TraceOptions = {}) {
  const trace = await openTrace(path, options);
  const requests: TraceRequest[] = [];
  for await (const chunk of trace.chunks()) requests.push(...chunk);
  return { trace, requests };
}

async function refusal(path: string, options: TraceOptions = {}): Promise<TraceError> {
  const error = await read(path, options).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TraceError);
  return error as TraceError;
}

describe("what publishers wrote", () => {
  it("is there for every format", () => {
    expect(new Set(SAMPLES.map(({ format }) => format))).toEqual(new Set(TRACE_FORMAT_NAMES));
  });

  it.each(SAMPLES.map((sample) => [sample.file, sample] as const))(
    "%s is recognised and read",
    async (file, sample) => {
      const { trace, requests } = await read(join(samplesDirectory, file));
      expect([trace.format, trace.blockTokens]).toEqual([sample.format, sample.blockTokens ?? 0]);
      expect(requests.map((request) => [request.inputTokens, request.outputTokens])).toEqual(
        sample.rows.map(([, input, output]) => [input, output]),
      );
      // A wall clock of this century resolves a quarter of a microsecond in float64.
      for (const [i, { arrivalUs }] of requests.entries()) {
        expect(Math.abs(arrivalUs - sample.rows[i]![0])).toBeLessThan(0.5);
      }
      const content = requests.flatMap((request) => (request.content === undefined ? [] : [[...request.content]]));
      expect(content).toEqual(sample.content ?? []);
      expect(trace.warnings()).toEqual(sample.warning === undefined ? [] : [sample.warning]);
      expect(trace.identity()).toMatchObject({ requestsUsed: sample.rows.length, linesSkipped: 0 });
    },
  );
});

/** A number as it would stand in a file of the kind, where JSON has no word for it as a string. */
const BAD_COUNTS = [
  ["a word", "many"],
  ["a negative count", "-5"],
  ["no tokens", "0"],
  ["a fraction", "4.5"],
  ["not a number", "NaN"],
  ["infinity", "Infinity"],
  ["more than any model takes", "99999999999"],
  ["a number too large for a double", "1e999"],
  ["a hexadecimal number", "0x10"],
  ["nothing", ""],
  ["a thousands separator", '"1,024"'],
] as const;

const BAD_TIMES = [
  ["a word", "yesterday"],
  ["not a number", "NaN"],
  ["infinity", "-Infinity"],
  ["a time too large for a clock", "1e300"],
  ["nothing", ""],
] as const;

describe.each(TRACE_FORMAT_NAMES)("%s", (format) => {
  const sample = new SampleLines(format);
  const { time, input, output } = sample.columns;
  const rows = SAMPLES.find(({ file }) => file === sample.columns.file)!.rows;
  /** As CSV has it, or as JSON: numbers stay, everything else is a string. */
  const written = (text: string): string =>
    sample.isCsv || /^-?\d+(\.\d+)?(e\d+)?$/.test(text) ? text : JSON.stringify(text.replaceAll('"', ""));

  async function expectUnchanged(content: string | Buffer, warnings: readonly unknown[] = []): Promise<void> {
    const { trace, requests } = await read(write(content));
    expect(trace.format).toBe(format);
    expect(requests.map((request) => [request.inputTokens, request.outputTokens])).toEqual(
      rows.map(([, inputTokens, outputTokens]) => [inputTokens, outputTokens]),
    );
    for (const [i, { arrivalUs }] of requests.entries()) {
      expect(Math.abs(arrivalUs - rows[i]![0])).toBeLessThan(0.5);
    }
    expect(trace.warnings()).toEqual(warnings);
  }

  /** The last line is refused by line, field and value, and left out, counted and reported where asked. */
  async function expectBadLast(content: string, field: string): Promise<void> {
    const path = write(content);
    const error = await refusal(path);
    expect(error).toMatchObject({ file: path, line: sample.lastLine, field, isOneRecord: true });
    expect(error.expected).not.toBe("");
    expect(error.message).toContain(`${path}:${sample.lastLine}: `);
    const { trace, requests } = await read(path, { skipInvalid: true });
    expect(requests).toHaveLength(rows.length - 1);
    expect(trace.identity()).toMatchObject({ requestsUsed: rows.length - 1, linesSkipped: 1 });
    expect(trace.warnings()).toEqual([`1 invalid line skipped, the first: ${error.message}`]);
  }

  describe("reads the same requests from", () => {
    it.each<[string, string | Buffer]>([
      ["gzip", gzipSync(sample.text)],
      ["gzip in two members", Buffer.concat([gzipSync(sample.text.slice(0, 50)), gzipSync(sample.text.slice(50))])],
      ["lines that end as on Windows", sample.text.replaceAll("\n", "\r\n")],
      ["text with a byte order mark", `\uFEFF${sample.text}`],
      ["a file without a last line end", sample.text.trimEnd()],
      ["a file with blank lines", `\n \n${sample.lines.join("\n\n  \n")}\n\n\t\n`],
    ])("%s", async (_, content) => expectUnchanged(content));

    it("columns in another order, with others among them", async () => {
      const turned = sample.isCsv
        ? sample.lines.map(
            (line, i) => `${i === 0 ? "note" : "später, ja".replace(",", "")},${line.split(",").reverse().join(",")}`,
          )
        : sample.lines.map((line) =>
            JSON.stringify(Object.fromEntries([["note", "später"], ...Object.entries(JSON.parse(line)).reverse()])),
          );
      await expectUnchanged(`${turned.join("\n")}\n`);
    });

    if (sample.isCsv)
      it("cells in quotes, and a comma behind the last cell", async () => {
        await expectUnchanged(
          sample.lines
            .map((line) =>
              line
                .split(",")
                .map((cell) => `"${cell}"`)
                .join(","),
            )
            .join("\n"),
        );
        await expectUnchanged(`${sample.lines.join(",\n")},\n`);
        await expectUnchanged(`${sample.lines[0]}\n${sample.lines.slice(1).join(",\n")},\n`);
      });

    if (sample.isCsv)
      it("a column in another encoding", async () => {
        const bytes = Buffer.from(
          sample.lines.map((line, i) => `${line},${i === 0 ? "note" : "sp\u00e4ter"}`).join("\n"),
          "latin1",
        );
        await expectUnchanged(bytes);
      });

    it("lines out of order, and says so", async () => {
      const [first, ...rest] = sample.lines.slice(sample.first);
      const isTied = rows[0]![0] === rows[1]![0];
      if (isTied) return;
      const turned = [...sample.lines.slice(0, sample.first), rest[0]!, first!, ...rest.slice(1)].join("\n");
      await expectUnchanged(turned, ["1 request was out of order and was sorted"]);
    });
  });

  describe("refuses", () => {
    it.each<[string, string | Buffer, Partial<TraceError>]>([
      ["an empty file", "", { line: 0, value: "an empty file", expected: "at least one request" }],
      ["only blank lines", "\n \n\t\n", { line: 0, value: "only blank lines" }],
      ["gzip of nothing", gzipSync(""), { line: 0, value: "only blank lines" }],
      ["UTF-16", Buffer.from(`\uFEFF${sample.text}`, "utf16le"), { line: 0, value: "UTF-16 text" }],
      ["Zstandard", Buffer.from("28b52ffd2458", "hex"), { line: 0, value: "Zstandard data" }],
      ["a zip archive", Buffer.from("504b030414000000", "hex"), { line: 0, value: "a zip archive" }],
      ["one list of all", `[\n${sample.lines.join(",\n")}\n]\n`, { line: 1, value: '"["' }],
      [
        "a Git LFS pointer",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4bb37\nsize 52283111\n",
        { line: 1, value: "a Git LFS pointer", expected: expect.stringContaining("git lfs pull") },
      ],
    ])("%s", async (_, content, expected) => {
      const path = write(content);
      expect(await refusal(path)).toMatchObject({ file: path, isOneRecord: false, ...expected });
    });

    if (sample.first === 1)
      it("a header alone", async () => {
        expect(await refusal(write(`${sample.lines[0]}\n`))).toMatchObject({ line: 0, value: "no request" });
      });

    it("gzip that was cut off", async () => {
      // Random digits, so that the file is longer than what decompresses at once.
      const lines = sample.lines.slice(sample.first).join("\n");
      const whole = gzipSync(`${sample.text}${`${lines}\n`.repeat(500)}`);
      for (const length of [whole.length - 1, whole.length - 8, whole.length >> 1, 12]) {
        expect((await refusal(write(whole.subarray(0, length)))).message).toMatch(
          /gzip data is broken .*expected a whole gzip file/,
        );
      }
    });

    it("a file without one of its columns, by what it lacks", async () => {
      for (const column of [time, input, output]) {
        const without = sample.isCsv
          ? sample.lines.map((line) =>
              line
                .split(",")
                .filter((__, i) => sample.lines[0]!.split(",")[i] !== column)
                .join(","),
            )
          : sample.lines.map((line, i) => (i < sample.first ? line : sample.set(line, column, undefined)));
        const error = await refusal(write(`${without.join("\n")}\n`));
        expect(error.line).toBe(sample.isCsv ? 1 : sample.first + 1);
        expect(error.message).toContain(column);
        // Whoever says what the format is hears of that format alone.
        const asked = await refusal(write(`${without.join("\n")}\n`), { format });
        expect(asked.message).toContain(column);
        expect(asked.message.length).toBeLessThan(400);
      }
    });

    if (sample.isCsv)
      it("a header that names a column twice", async () => {
        const [header, ...rest] = sample.lines;
        for (const column of [time, input, output]) {
          const path = write(`${header},${column}\n${rest.map((line) => `${line},7`).join("\n")}\n`);
          expect(await refusal(path)).toMatchObject({ line: 1, field: "header", value: `${column} twice` });
        }
      });

    it("another format than the one that was asked for", async () => {
      for (const asked of TRACE_FORMAT_NAMES) {
        // Bailian's records have all that Mooncake's must have.
        if (asked === format || (format === "bailian" && asked === "mooncake")) continue;
        expect(await refusal(write(sample.text), { format: asked })).toMatchObject({ line: 1, isOneRecord: false });
      }
    });
  });

  describe("refuses a line, or leaves it out where asked, with", () => {
    for (const column of [input, output]) {
      it.each(BAD_COUNTS)(`${column}: %s`, async (_, text) => {
        if (format === "burstgpt" && column === output && text === "0") return;
        await expectBadLast(
          sample.withLast((line) => sample.set(line, column, written(text))),
          column,
        );
      });
    }

    it.each(BAD_TIMES)(`${time}: %s`, async (_, text) => {
      await expectBadLast(
        sample.withLast((line) => sample.set(line, time, written(text))),
        time,
      );
    });

    it("a missing column", async () => {
      for (const column of [time, input, output]) {
        const content = sample.withLast((line) => sample.set(line, column, undefined));
        // In CSV the cells behind a missing one move up.
        const error = await refusal(write(content));
        expect(error).toMatchObject({ line: sample.lastLine, isOneRecord: true });
        if (!sample.isCsv) expect(error).toMatchObject({ field: column, value: "missing" });
      }
    });

    it("an end in the middle", async () => {
      const whole = sample.lines.join("\n");
      const cut = whole.slice(0, whole.lastIndexOf("\n") + 4);
      const error = await refusal(write(cut));
      expect(error).toMatchObject({ line: sample.lastLine, isOneRecord: true });
    });

    it("something of another format", async () => {
      const foreign = sample.isCsv
        ? '{"timestamp": 27482, "input_length": 6955}'
        : "2023-11-16 18:15:46.6805900,374,44";
      const path = write(sample.withLast(() => foreign));
      expect(await refusal(path)).toMatchObject({ line: sample.lastLine, isOneRecord: true });
      expect((await read(path, { skipInvalid: true })).trace.identity().linesSkipped).toBe(1);
    });

    if (sample.isCsv)
      it("a header again, as where files were joined", async () => {
        const path = write(`${sample.text}${sample.text}`);
        expect(await refusal(path)).toMatchObject({ line: sample.lastLine + 1, isOneRecord: true });
        expect((await read(path, { skipInvalid: true })).requests).toHaveLength(2 * rows.length);
      });

    if (sample.isCsv)
      it("a quote that is never closed", async () => {
        await expectBadLast(
          sample.withLast((line) => `"${line}`),
          "",
        );
      });

    if (sample.isCsv)
      it("more cells than the header", async () => {
        const path = write(sample.withLast((line) => `${line},7`));
        expect(await refusal(path)).toMatchObject({
          line: sample.lastLine,
          expected: expect.stringMatching(/^\d cells, as many as/),
        });
      });
  });
});

describe("a path that is no trace file", () => {
  it("is named for what it is", async () => {
    expect(await refusal(join(folder, "nowhere.csv"))).toMatchObject({ value: "no such file" });
    expect(await refusal(folder)).toMatchObject({ value: "a folder" });
    expect(await refusal("/dev/null")).toMatchObject({ value: "a pipe or device" });
  });

  it.skipIf(process.getuid?.() === 0)("is refused where it may not be read", async () => {
    const path = write(new SampleLines("vidur").text);
    chmodSync(path, 0);
    expect(await refusal(path)).toMatchObject({ value: "no access (EACCES)" });
  });
});

describe("Mooncake", () => {
  const line = (tokens: number, ids: number): string =>
    JSON.stringify({ timestamp: 0, input_length: tokens, output_length: 1, hash_ids: range(0, ids) });

  it.each([
    [
      "512, where the first request has less than one block",
      [
        [9, 1],
        [2000, 4],
      ],
      512,
    ],
    [
      "16, where the first request has less than one block",
      [
        [9, 1],
        [100, 7],
        [64, 4],
      ],
      16,
    ],
    [
      "128, where only whole blocks have ids",
      [
        [1000, 7],
        [127, 0],
      ],
      128,
    ],
    [
      "512, where one line is wrong",
      [
        [1000, 2],
        [1000, 900],
        [513, 2],
      ],
      512,
    ],
  ])("has blocks of %s", async (_, lengths, blockTokens) => {
    const content = lengths.map(([tokens, ids]) => line(tokens!, ids!)).join("\n");
    const { trace } = await read(write(content), { skipInvalid: true });
    expect(trace.blockTokens).toBe(blockTokens);
  });

  it("may begin with a request without ids", async () => {
    const { trace, requests } = await read(
      write(`{"timestamp":0,"input_length":9,"output_length":1}\n${line(600, 2)}`),
    );
    expect(trace.blockTokens).toBe(512);
    expect(requests.map(({ content }) => content?.length)).toEqual([undefined, 2]);
  });
});

describe("BurstGPT", () => {
  it("has requests that failed: they are left out, counted apart from bad lines, and not counted by the limit", async () => {
    const { columns, lines } = new SampleLines("burstgpt");
    const failed = lines[1]!.replace(",18,", ",0,");
    const path = write([lines[0], failed, ...lines.slice(1), failed, failed].join("\n"));
    const { trace, requests } = await read(path, { limit: 3 });
    expect(requests).toHaveLength(3);
    const whole = await read(path);
    expect(whole.trace.identity()).toMatchObject({ requestsUsed: 3, linesSkipped: 0 });
    expect(whole.trace.warnings()).toEqual(["3 requests left out that failed when the trace was recorded"]);
    expect(trace.format).toBe("burstgpt");
    expect(columns.output).toBe("Response tokens");
    expect(await refusal(write(`${lines[0]}\n${failed}\n`))).toMatchObject({
      value: "only requests that failed, 1 of them",
    });
  });
});
