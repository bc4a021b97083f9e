// Vidur's processed traces (github.com/microsoft/vidur): seconds.

import { type CsvFormat, timeIn, tokenCount } from "../trace-format.ts";

export const vidur: CsvFormat = {
  title: "Vidur trace (CSV)",
  kind: "csv",
  columns: ["arrived_at", "num_prefill_tokens", "num_decode_tokens"],
  parse: (cell) => ({
    timeUs: timeIn(1e6, "arrived_at", cell("arrived_at")),
    inputTokens: tokenCount("num_prefill_tokens", cell("num_prefill_tokens")),
    outputTokens: tokenCount("num_decode_tokens", cell("num_decode_tokens")),
  }),
};
