// Measured times of a model's layers on one GPU, as LLMServingSim's profiler writes them from a running vLLM:
// dense.csv (layer,tokens,time_us), per_sequence.csv (layer,sequences,time_us), attention.csv
// (prefill_chunk,kv_prefill,n_decode,kv_decode,time_us: one prompt chunk of so many tokens behind so many, and so many
// decodes that are all alike). Each of them may be gzipped.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import type { CurveTable } from "../gpu/profile.ts";

/** One launch of attention: `prefillTokens` of one request behind `prefillHistory`, and `decodes` with `decodeKv` each. */
export interface AttentionTime {
  readonly prefillTokens: number;
  readonly prefillHistory: number;
  readonly decodes: number;
  readonly decodeKv: number;
  readonly us: number;
}

export interface LayerTimes {
  /** Folder that it was read from. */
  readonly origin: string;
  /** [tokens, µs] of one run of each layer, by name. */
  readonly byTokens: ReadonlyMap<string, CurveTable["rows"]>;
  /** [sequences, µs], by name. */
  readonly bySequences: ReadonlyMap<string, CurveTable["rows"]>;
  readonly attention: readonly AttentionTime[];
}

/** A folder without the tables of a model's layers, or a table that cannot be used. */
export class LayerTimesError extends Error {
  override readonly name = "LayerTimesError";
  readonly file: string;
  readonly line: number;
  readonly problem: string;

  constructor(file: string, line: number, problem: string) {
    super(line === 0 ? `${file}: ${problem}` : `${file}, line ${line}: ${problem}`);
    this.file = file;
    this.line = line;
    this.problem = problem;
  }
}

/** @throws LayerTimesError */
export function readLayerTimes(directory: string): LayerTimes {
  return {
    origin: directory,
    byTokens: curves(directory, "dense.csv", "tokens"),
    bySequences: curves(directory, "per_sequence.csv", "sequences"),
    attention: readTable(directory, "attention.csv", [
      "prefill_chunk",
      "kv_prefill",
      "n_decode",
      "kv_decode",
      "time_us",
    ]).rows.map(([prefillTokens, prefillHistory, decodes, decodeKv, us]) => ({
      prefillTokens: prefillTokens!,
      prefillHistory: prefillHistory!,
      decodes: decodes!,
      decodeKv: decodeKv!,
      us: us!,
    })),
  };
}

function curves(directory: string, file: string, by: string): Map<string, CurveTable["rows"]> {
  const { names, rows } = readTable(directory, file, [by, "time_us"]);
  const byName = new Map<string, [number, number][]>();
  for (const [i, [x, us]] of rows.entries()) {
    const name = names[i]!;
    const curve = byName.get(name) ?? [];
    if (curve.length > 0 && curve.at(-1)![0] >= x!) {
      throw new LayerTimesError(join(directory, file), i + 2, `${by} of ${name} are not ascending`);
    }
    curve.push([x!, us!]);
    byName.set(name, curve);
  }
  return byName;
}

/** Numbers of the named columns, and the layer of each line where there is one. */
function readTable(directory: string, file: string, columns: readonly string[]): { names: string[]; rows: number[][] } {
  const plain = join(directory, file);
  const path = existsSync(plain) ? plain : `${plain}.gz`;
  if (!existsSync(path))
    throw new LayerTimesError(plain, 0, "does not exist, and is one of three tables of layer times");
  const bytes = readFileSync(path);
  let records: Record<string, string>[];
  try {
    records = parse(path.endsWith(".gz") ? gunzipSync(bytes) : bytes, { columns: true, skip_empty_lines: true });
  } catch (error) {
    throw new LayerTimesError(path, 0, (error as Error).message);
  }
  const rows = records.map((record, i) =>
    columns.map((column) => {
      const value = Number(record[column] ?? "");
      if (record[column] === undefined || record[column] === "" || !(value >= 0)) {
        throw new LayerTimesError(path, i + 2, `${column} is ${JSON.stringify(record[column])}, expected a number`);
      }
      return value;
    }),
  );
  return { names: records.map((record) => record["layer"] ?? ""), rows };
}
