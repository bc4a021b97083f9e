// Batch documents for tests of the command.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const attention = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

/** One request of 131,072 tokens among 63 of 512, each with one new token: the longest decides, unless it is split. */
export const skewedDecode = {
  isochron: "batch/1",
  attention,
  qoLens: Array.from({ length: 64 }, () => 1),
  kvLens: Array.from({ length: 64 }, (_, i) => (i === 0 ? 131_072 : 512)),
};

/** Small enough for the reference interpreter: decode, prefill with history, prefill without, and an empty request. */
export const smallMixed = {
  isochron: "batch/1",
  attention: { ...attention, queryHeads: 4, kvHeads: 2, headDim: 16 },
  qoLens: [1, 1, 24, 40, 0],
  kvLens: [300, 17, 200, 40, 0],
};

/** Writes a document into a folder and returns its path. */
export function writeDocument(folder: string, name: string, document: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof document === "string" ? document : JSON.stringify(document));
  return path;
}
