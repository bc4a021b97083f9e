// splitwise-sim's traces (github.com/Mutinifni/splitwise-sim): seconds.

import { type CsvFormat, timeIn, tokenCount } from "../trace-format.ts";

export const splitwise: CsvFormat = {
  title: "Splitwise trace (CSV)",
  kind: "csv",
  columns: ["arrival_timestamp", "prompt_size", "token_size"],
  parse: (cell) => ({
    timeUs: timeIn(1e6, "arrival_timestamp", cell("arrival_timestamp")),
    inputTokens: tokenCount("prompt_size", cell("prompt_size")),
    outputTokens: tokenCount("token_size", cell("token_size")),
  }),
};
