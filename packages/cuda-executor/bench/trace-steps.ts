// Decode steps of production traces: the KV lengths of the requests alive at a random moment.
//   node trace-steps.js TRACE_FOLDER [--seed N] [--count N] --out FILE
//
// A request is alive for as many steps as it has output tokens, so it is drawn in proportion to them, at a uniformly random
// position of its output. Batches of 3–200 requests from one trace each (the bundled ones; see their NOTICE files).

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { between, seededRandom } from "./random.ts";

interface Lengths {
  readonly prompt: number;
  readonly output: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: "string", default: "1" }, count: { type: "string", default: "8" }, out: { type: "string" } },
});
const [folder] = positionals;
if (folder === undefined || values.out === undefined) {
  console.error("usage: trace-steps TRACE_FOLDER --out FILE");
  process.exit(2);
}

const lines = (file: string): string[] =>
  gunzipSync(readFileSync(join(folder, file)))
    .toString()
    .trim()
    .split("\n");
const azure = (file: string): Lengths[] =>
  lines(file)
    .slice(1)
    .map((line) => line.split(","))
    .map((cells) => ({ prompt: Number(cells[1]), output: Number(cells[2]) }));
const TRACES: Record<string, () => Lengths[]> = {
  "azure-conv": () => azure("azure-2023/AzureLLMInferenceTrace_conv.csv.gz"),
  "azure-code": () => azure("azure-2023/AzureLLMInferenceTrace_code.csv.gz"),
  "mooncake-conv": () =>
    lines("mooncake-fast25/conversation_trace.jsonl.gz").map((line) => {
      const { input_length, output_length } = JSON.parse(line) as { input_length: number; output_length: number };
      return { prompt: input_length, output: output_length };
    }),
};

const random = seededRandom(Number(values.seed));
const decode: { id: string; kv_lens: number[] }[] = [];
for (const [name, read] of Object.entries(TRACES)) {
  const requests = read().filter(({ prompt, output }) => prompt > 0 && output > 0);
  const cumulative: number[] = [];
  let total = 0;
  for (const { output } of requests) {
    total += output;
    cumulative.push(total);
  }
  for (let i = 0; i < Number(values.count); i++) {
    // Batch sizes are uniform in the logarithm: small batches are as common as large ones.
    const size = Math.round(3 * (200 / 3) ** random());
    const kv_lens = Array.from({ length: size }, () => {
      const at = random() * total;
      const { prompt, output } = requests[cumulative.findIndex((sum) => sum > at)]!;
      return prompt + between(random, 1, output);
    });
    decode.push({ id: `${name}-${i}-b${size}`, kv_lens });
  }
}
writeFileSync(values.out, `${JSON.stringify({ meta: { seed: Number(values.seed) }, decode })}\n`);
