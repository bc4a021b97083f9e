// Mooncake's traces (github.com/kvcache-ai/Mooncake): milliseconds, and one id for each block of 512 prompt tokens that
// stands for everything up to the block's end.

import { blockIdList, type JsonLinesFormat, type JsonRecord, timeIn, tokenCount } from "../trace-format.ts";

const BLOCK_TOKENS = 512;

export const mooncake: JsonLinesFormat = {
  title: "Mooncake trace (JSON lines)",
  kind: "jsonl",
  keys: ["timestamp", "input_length", "output_length"],
  // Derived traces use smaller blocks: those that explain the most requests, the largest of them where several do.
  blockTokens: (first) => {
    const withIds = first.filter((record) => Array.isArray(record["hash_ids"]));
    if (withIds.length === 0) return 0;
    let best = BLOCK_TOKENS;
    let mostExplained = -1;
    for (let blockTokens = BLOCK_TOKENS; blockTokens >= 1; blockTokens /= 2) {
      const explained = withIds.filter((record) => isExplained(record, blockTokens)).length;
      if (explained > mostExplained) {
        best = blockTokens;
        mostExplained = explained;
      }
    }
    return best;
  },
  parser: (blockTokens) => (record) => {
    const inputTokens = tokenCount("input_length", record["input_length"]);
    return {
      timeUs: timeIn(1000, "timestamp", record["timestamp"]),
      inputTokens,
      outputTokens: tokenCount("output_length", record["output_length"]),
      blockIds: blockIdList("hash_ids", record["hash_ids"], inputTokens, blockTokens || BLOCK_TOKENS),
    };
  },
};

/** Whether every whole block has an id, and the rest has one or none. */
function isExplained(record: JsonRecord, blockTokens: number): boolean {
  const blocks = Number(record["input_length"]) / blockTokens;
  const ids = (record["hash_ids"] as unknown[]).length;
  return ids === Math.ceil(blocks) || ids === Math.floor(blocks);
}
