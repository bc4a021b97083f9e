// Azure's public LLM inference traces (github.com/Azure/AzurePublicDataset): wall-clock timestamps, of 2023 with seven
// digits and no zone, since 2024 with six and UTC's offset, none on a whole second.

import { type CsvFormat, tokenCount, wallClockUs } from "../trace-format.ts";

export const azure: CsvFormat = {
  title: "Azure LLM inference trace (CSV)",
  kind: "csv",
  columns: ["TIMESTAMP", "ContextTokens", "GeneratedTokens"],
  parse: (cell) => ({
    timeUs: wallClockUs("TIMESTAMP", cell("TIMESTAMP")),
    inputTokens: tokenCount("ContextTokens", cell("ContextTokens")),
    outputTokens: tokenCount("GeneratedTokens", cell("GeneratedTokens")),
  }),
};
