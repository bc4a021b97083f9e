// Samples of every trace format as its publisher wrote it, what is in them, and a way to change one number.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TraceFormatName } from "@isochron/simulator";
import { expect } from "vitest";

export const samplesDirectory: string = join(import.meta.dirname, "../samples/traces");

/** Arrival in µs after the first, input and output tokens. */
export type Row = readonly [arrivalUs: number, inputTokens: number, outputTokens: number];

export interface Sample {
  readonly file: string;
  readonly format: TraceFormatName;
  readonly rows: readonly Row[];
  /** Prefix blocks of each request as numbers from 0; none where the format has no prefixes. */
  readonly content?: readonly (readonly number[])[];
  readonly blockTokens?: number;
  readonly warning?: string;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

export const SAMPLES: readonly Sample[] = [
  {
    file: "azure-2023.csv",
    format: "azure-csv",
    rows: [
      [0, 374, 44],
      [4_314_579, 396, 109],
      [4_541_877, 879, 55],
      [4_710_427, 91, 16],
      [5_892_655, 91, 16],
    ],
  },
  {
    file: "azure-2024.csv",
    format: "azure-csv",
    rows: [
      [0, 2162, 5],
      [7405, 2399, 6],
      [990_070, 76, 15],
      [1_494_301, 2366, 16],
    ],
  },
  {
    file: "azure-2025-multimodal.csv",
    format: "azure-csv",
    rows: [
      [0, 512, 32],
      [250_000, 1900, 64],
      [1_650_000, 1024, 7],
    ],
  },
  {
    file: "burstgpt-6-columns.csv",
    format: "burstgpt",
    rows: [
      [0, 472, 18],
      [40e6, 1087, 230],
      [113e6, 417, 276],
    ],
  },
  {
    file: "burstgpt-8-columns.csv",
    format: "burstgpt",
    rows: [
      [0, 906, 446],
      [51e6, 36, 29],
      [82e6, 1779, 123],
      [144e6, 935, 178],
    ],
    warning: "1 request left out that failed when the trace was recorded",
  },
  {
    file: "vidur-splitwise-conv.csv",
    format: "vidur",
    rows: [
      [0, 374, 44],
      [4_314_579, 396, 109],
      [4_541_877, 879, 55],
      [4_710_427, 91, 16],
      [5_892_655, 91, 16],
    ],
  },
  {
    file: "splitwise-test-trace.csv",
    format: "splitwise",
    rows: [
      [0, 4096, 32],
      [2e6, 2048, 8],
      [3e6, 2048, 16],
    ],
  },
  {
    file: "mooncake-conversation.jsonl",
    format: "mooncake",
    rows: [
      [0, 6758, 500],
      [0, 7322, 490],
      [0, 7236, 794],
      [0, 2290, 316],
    ],
    content: [range(0, 14), [0, ...range(14, 28)], [0, ...range(28, 42)], [0, ...range(42, 46)]],
    blockTokens: 512,
  },
  {
    file: "bailian.jsonl",
    format: "bailian",
    rows: [
      [0, 40, 132],
      [3_136_000, 60, 12],
    ],
    content: [
      [0, 1, 2],
      [0, 1, 3, 4],
    ],
    blockTokens: 16,
  },
  {
    file: "llmservingsim-example.jsonl",
    format: "llmservingsim",
    rows: [
      [0, 10, 70],
      [432_686.713, 16, 69],
      [523_980.968, 4, 12],
      [856_918.263, 18, 58],
    ],
    content: [[], [0], [], [1]],
    blockTokens: 16,
  },
  {
    file: "isochron.jsonl",
    format: "isochron",
    rows: [
      [0, 100, 1],
      [5.5, 2, 1],
      [890, 64, 7],
    ],
    content: [[0, 1], [0]],
    blockTokens: 64,
  },
];

/** One file for each format, and where its numbers stand. */
interface Columns {
  readonly file: string;
  readonly time: string;
  readonly input: string;
  readonly output: string;
}

const COLUMNS: Readonly<Record<TraceFormatName, Columns>> = {
  "azure-csv": { file: "azure-2023.csv", time: "TIMESTAMP", input: "ContextTokens", output: "GeneratedTokens" },
  burstgpt: { file: "burstgpt-6-columns.csv", time: "Timestamp", input: "Request tokens", output: "Response tokens" },
  vidur: {
    file: "vidur-splitwise-conv.csv",
    time: "arrived_at",
    input: "num_prefill_tokens",
    output: "num_decode_tokens",
  },
  splitwise: {
    file: "splitwise-test-trace.csv",
    time: "arrival_timestamp",
    input: "prompt_size",
    output: "token_size",
  },
  mooncake: { file: "mooncake-conversation.jsonl", time: "timestamp", input: "input_length", output: "output_length" },
  bailian: { file: "bailian.jsonl", time: "timestamp", input: "input_length", output: "output_length" },
  llmservingsim: {
    file: "llmservingsim-example.jsonl",
    time: "arrival_time_ns",
    input: "input_toks",
    output: "output_toks",
  },
  isochron: { file: "isochron.jsonl", time: "arrivalUs", input: "inputTokens", output: "outputTokens" },
};

/** A sample as lines whose cells can be changed by name, whatever the format. */
export class SampleLines {
  readonly columns: Columns;
  readonly isCsv: boolean;
  /** With the header, where there is one. */
  readonly lines: readonly string[];
  /** Index of the first request. */
  readonly first: number;

  constructor(format: TraceFormatName) {
    this.columns = COLUMNS[format];
    this.isCsv = this.columns.file.endsWith(".csv");
    this.lines = readFileSync(join(samplesDirectory, this.columns.file), "utf8").trimEnd().split(/\r?\n/);
    this.first = this.isCsv || format === "isochron" ? 1 : 0;
  }

  get text(): string {
    return `${this.lines.join("\n")}\n`;
  }

  /** The text with another last line, for whose place see `lastLine`. */
  withLast(change: (line: string) => string): string {
    return `${[...this.lines.slice(0, -1), change(this.lines.at(-1)!)].join("\n")}\n`;
  }

  /** From 1. */
  get lastLine(): number {
    return this.lines.length;
  }

  /** A line with another value in a column: `text` as it would stand in the file; undefined leaves the cell or key out. */
  set(line: string, column: string, text: string | undefined): string {
    if (this.isCsv) {
      const cells = line.split(",");
      const at = this.lines[0]!.split(",").indexOf(column);
      return [...cells.slice(0, at), ...(text === undefined ? [] : [text]), ...cells.slice(at + 1)].join(",");
    }
    const value = `(?:\\[[^\\]]*\\]|[^,}\\]]+)`;
    const pair = new RegExp(`"${column}": ?${value}`);
    expect(line).toMatch(pair);
    if (text !== undefined) return line.replace(pair, `"${column}":${text}`);
    return line.replace(new RegExp(`("${column}": ?${value},? ?)|(, ?"${column}": ?${value}(?=}))`), "");
  }
}
