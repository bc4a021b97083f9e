// Trace files that cannot be used, and the line that says why. Every command that reads a trace refuses all of them.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { repository } from "./command.ts";

const header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
const first = "2023-11-16 18:15:46.6805900,374,44\n";
const bundled = join(repository, "traces/azure-2023/AzureLLMInferenceTrace_code.csv.gz");

interface BadTrace {
  readonly title: string;
  readonly file: string;
  readonly content: string | Buffer;
  readonly line: RegExp;
}

export const badTraces: readonly BadTrace[] = [
  {
    title: "an empty file",
    file: "empty.csv",
    content: "",
    line: /empty\.csv: .*empty.*expected at least one request/,
  },
  {
    title: "a header without a request",
    file: "header.csv",
    content: header,
    line: /header\.csv: found no request, expected at least one request/,
  },
  {
    title: "a truncated gzip file",
    file: "cut.csv.gz",
    content: readFileSync(bundled).subarray(0, 20_000),
    line: /cut\.csv\.gz:\d+: gzip data is broken .* expected a whole gzip file/,
  },
  {
    title: "bytes that only look like gzip",
    file: "noise.csv.gz",
    content: Buffer.from([0x1f, 0x8b, 0xff, 0x00, 0x01, 0x02, 0x03]),
    line: /noise\.csv\.gz.*: gzip data is broken/,
  },
  {
    title: "a CSV file with a wrong column",
    file: "column.csv",
    content: `TIMESTAMP,ContextTokens,Generated\n${first}`,
    line: /column\.csv:1: .*Generated/,
  },
  {
    title: "a negative token count",
    file: "negative.csv",
    content: `${header}${first}2023-11-16 18:15:47.0000000,-5,44\n`,
    line: /negative\.csv:3: ContextTokens is "-5", expected an integer from 1 to 2147483647/,
  },
  {
    title: "a fractional token count",
    file: "fraction.csv",
    content: `${header}2023-11-16 18:15:46.6805900,374,4.5\n`,
    line: /fraction\.csv:2: GeneratedTokens is "4\.5", expected an integer/,
  },
  {
    title: "a word where a number belongs",
    file: "word.csv",
    content: `${header}2023-11-16 18:15:46.6805900,many,4\n`,
    line: /word\.csv:2: ContextTokens is "many", expected an integer/,
  },
  {
    title: "a row with too few cells",
    file: "short.csv",
    content: `${header}${first}2023-11-16 18:15:47.0000000,12\n`,
    line: /short\.csv:3: /,
  },
  {
    title: "a time that is none",
    file: "time.csv",
    content: `${header}yesterday,374,44\n`,
    line: /time\.csv:2: TIMESTAMP is "yesterday", expected a time like/,
  },
  {
    title: "a line of 10 MB",
    file: "long.jsonl",
    content: `{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [${"1, ".repeat(3_500_000)}1]}\n`,
    line: /long\.jsonl:1: /,
  },
  {
    title: "JSON lines with a broken line",
    file: "broken.jsonl",
    content: '{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [1]}\n{"timestamp": 1, "input_le\n',
    line: /broken\.jsonl:2: /,
  },
  {
    title: "a missing key in the second line",
    file: "key.jsonl",
    content:
      '{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [1]}\n{"timestamp": 1, "input_length": 5}\n',
    line: /key\.jsonl:2: output_length is missing, expected an integer/,
  },
  {
    title: "a file of another kind",
    file: "picture.png",
    content: Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13]),
    line: /picture\.png/,
  },
];

/** Writes one of them and returns its path. */
export function writeBadTrace(folder: string, bad: BadTrace): string {
  const path = join(folder, bad.file);
  writeFileSync(path, bad.content);
  return path;
}

/** A usable trace whose third request came before its second. */
export const unsortedTrace = `${header}${first}2023-11-16 18:15:50.0000000,396,10\n2023-11-16 18:15:48.0000000,879,5\n`;

/** The same trace in gzip. */
export const unsortedTraceGzip: Buffer = gzipSync(unsortedTrace);
