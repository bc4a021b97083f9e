// Mooncake's traces (github.com/kvcache-ai/Mooncake): milliseconds, and one id for each block of 512 prompt tokens that
// stands for everything up to the block's end.

import { blockIdList, type JsonLinesFormat, timeIn, tokenCount } from "../trace-format.ts";

const BLOCK_TOKENS = 512;

export const mooncake: JsonLinesFormat = {
  title: "Mooncake trace (JSON lines)",
  kind: "jsonl",
  keys: ["timestamp", "input_length", "output_length"],
  blockTokens: (first) => {
    if (!Array.isArray(first["hash_ids"])) return 0;
    // Derived traces use smaller blocks. The first request tells: more ids than blocks of 512 would make.
    const tokens = Number(first["input_length"]);
    let blockTokens = BLOCK_TOKENS;
    while (blockTokens > 1 && Math.ceil(tokens / blockTokens) < first["hash_ids"].length) blockTokens /= 2;
    return blockTokens;
  },
  parser() {
    let blockTokens = 0;
    return (record) => {
      if (blockTokens === 0) blockTokens = mooncake.blockTokens(record) || BLOCK_TOKENS;
      const inputTokens = tokenCount("input_length", record["input_length"]);
      return {
        timeUs: timeIn(1000, "timestamp", record["timestamp"]),
        inputTokens,
        outputTokens: tokenCount("output_length", record["output_length"]),
        blockIds: blockIdList("hash_ids", record["hash_ids"], inputTokens, blockTokens),
      };
    };
  },
};
