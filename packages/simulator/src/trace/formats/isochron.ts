// Our own trace: a header line `{"isochron":"trace/1","blockTokens":512}`, then one request per line.

import { LineError } from "../trace-error.ts";
import { blockIdList, type JsonLinesFormat, timeIn, tokenCount } from "../trace-format.ts";

export const isochron: JsonLinesFormat = {
  title: "Isochron trace/1 (JSON lines)",
  kind: "jsonl",
  keys: ["isochron"],
  hasHeader: true,
  blockTokens: ([header = {}]) => {
    if (header["isochron"] !== "trace/1") throw new LineError("isochron", header["isochron"], '"trace/1"');
    const blockTokens = header["blockTokens"] ?? 0;
    if (typeof blockTokens !== "number" || !Number.isInteger(blockTokens) || blockTokens < 0) {
      throw new LineError("blockTokens", blockTokens, "an integer, 0 for no block ids");
    }
    return blockTokens;
  },
  parser: (blockTokens) => (record) => {
    const inputTokens = tokenCount("inputTokens", record["inputTokens"]);
    if (blockTokens === 0 && record["blockIds"] !== undefined) {
      throw new LineError("blockIds", "given", "none, because the header has no blockTokens");
    }
    return {
      timeUs: timeIn(1, "arrivalUs", record["arrivalUs"]),
      inputTokens,
      outputTokens: tokenCount("outputTokens", record["outputTokens"]),
      blockIds: blockIdList("blockIds", record["blockIds"], inputTokens, blockTokens),
    };
  },
};
