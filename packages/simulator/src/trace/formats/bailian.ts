// Qwen-Bailian's anonymised traces (github.com/alibaba-edu/qwen-bailian-usagetraces-anon): seconds, and one id for each
// block of 16 prompt tokens.

import { blockIdList, type JsonLinesFormat, timeIn, tokenCount } from "../trace-format.ts";

const BLOCK_TOKENS = 16;

export const bailian: JsonLinesFormat = {
  title: "Qwen-Bailian trace (JSON lines)",
  kind: "jsonl",
  keys: ["chat_id", "timestamp", "input_length", "output_length"],
  blockTokens: (first) => (first.some((record) => Array.isArray(record["hash_ids"])) ? BLOCK_TOKENS : 0),
  parser: () => (record) => {
    const inputTokens = tokenCount("input_length", record["input_length"]);
    return {
      timeUs: timeIn(1e6, "timestamp", record["timestamp"]),
      inputTokens,
      outputTokens: tokenCount("output_length", record["output_length"]),
      blockIds: blockIdList("hash_ids", record["hash_ids"], inputTokens, BLOCK_TOKENS),
    };
  },
};
