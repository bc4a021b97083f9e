// All trace formats, most particular first: the first whose columns or keys are all there is the format of a file.
// Adding one: a file like its neighbours and a row here.

import { azure } from "./formats/azure.ts";
import { bailian } from "./formats/bailian.ts";
import { burstgpt } from "./formats/burstgpt.ts";
import { isochron } from "./formats/isochron.ts";
import { llmservingsim } from "./formats/llmservingsim.ts";
import { mooncake } from "./formats/mooncake.ts";
import { splitwise } from "./formats/splitwise.ts";
import { vidur } from "./formats/vidur.ts";
import type { TraceFormat } from "./trace-format.ts";

export type TraceFormatName =
  | "isochron"
  | "azure-csv"
  | "burstgpt"
  | "vidur"
  | "splitwise"
  | "bailian"
  | "mooncake"
  | "llmservingsim";

export const TRACE_FORMATS: Readonly<Record<TraceFormatName, TraceFormat>> = {
  isochron,
  "azure-csv": azure,
  burstgpt,
  vidur,
  splitwise,
  bailian,
  mooncake,
  llmservingsim,
};

export const TRACE_FORMAT_NAMES: readonly TraceFormatName[] = Object.keys(TRACE_FORMATS) as TraceFormatName[];
