// Azure's public LLM inference traces (github.com/Azure/AzurePublicDataset): wall-clock timestamps, of 2023 with seven
// digits and no zone, since 2024 with six and UTC's offset, none on a whole second.

import { LineError } from "../trace-error.ts";
import { type CsvFormat, tokenCount } from "../trace-format.ts";

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

const WALL_CLOCK = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([+-]\d\d):?(\d\d))?$/;

function wallClockUs(field: string, text: string): number {
  const match = WALL_CLOCK.exec(text);
  if (match === null) throw new LineError(field, text, "a time like 2023-11-16 18:15:46.6805900");
  const [, year, month, day, hour, minute, second, fraction, zoneHours, zoneMinutes] = match;
  const zone = zoneHours === undefined ? "Z" : `${zoneHours}:${zoneMinutes}`;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  if (Number.isNaN(ms)) throw new LineError(field, text, "a date that exists");
  return ms * 1000 + Number(fraction ?? 0) * 1e6;
}
