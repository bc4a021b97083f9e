// BurstGPT (github.com/HPMLL/BurstGPT): seconds; the 8-column edition adds session and elapsed time. Requests that failed
// have 0 response tokens.

import { type CsvFormat, timeIn, tokenCount } from "../trace-format.ts";

export const burstgpt: CsvFormat = {
  title: "BurstGPT (CSV of 6 or 8 columns)",
  kind: "csv",
  columns: ["Timestamp", "Model", "Request tokens", "Response tokens"],
  parse: (cell) =>
    cell("Response tokens") === "0"
      ? undefined
      : {
          timeUs: timeIn(1e6, "Timestamp", cell("Timestamp")),
          inputTokens: tokenCount("Request tokens", cell("Request tokens")),
          outputTokens: tokenCount("Response tokens", cell("Response tokens")),
        },
};
