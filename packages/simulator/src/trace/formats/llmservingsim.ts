// LLMServingSim 2.0's workloads (github.com/casys-kaist/LLMServingSim): nanoseconds, and the token ids of each prompt,
// from which prefix blocks are made here.

import { LineError } from "../trace-error.ts";
import { type JsonLinesFormat, timeIn, tokenCount } from "../trace-format.ts";

/** Chosen: vLLM's default block, the finest that its cache could share. */
const BLOCK_TOKENS = 16;

export const llmservingsim: JsonLinesFormat = {
  title: "LLMServingSim workload (JSON lines)",
  kind: "jsonl",
  keys: ["arrival_time_ns"],
  blockTokens: (first) => (first.some((record) => Array.isArray(record["input_tok_ids"])) ? BLOCK_TOKENS : 0),
  parser() {
    // A block is known by its predecessor and its tokens: the path from the root of a prefix tree.
    const known = new Map<string, number>();
    return (record) => {
      if (record["sub_requests"] !== undefined) {
        throw new LineError("sub_requests", "a session of several requests", "one request per line");
      }
      const inputTokens = tokenCount("input_toks", record["input_toks"]);
      const tokens = record["input_tok_ids"];
      let blockIds: number[] | undefined;
      if (Array.isArray(tokens)) {
        blockIds = [];
        let parent = -1;
        for (let end = BLOCK_TOKENS; end <= Math.min(tokens.length, inputTokens); end += BLOCK_TOKENS) {
          const key = `${parent}:${tokens.slice(end - BLOCK_TOKENS, end).join(",")}`;
          const id = known.get(key) ?? known.size;
          known.set(key, id);
          blockIds.push(id);
          parent = id;
        }
      }
      return {
        timeUs: timeIn(1e-3, "arrival_time_ns", record["arrival_time_ns"]),
        inputTokens,
        outputTokens: tokenCount("output_toks", record["output_toks"]),
        blockIds,
      };
    };
  },
};
