// What made a document: with it the document can be made again.

import type { Generator } from "@isochron/planner";
import { z } from "zod";

export const generatorSchema: z.ZodType<Generator> = z.strictObject({
  version: z.string(),
  command: z.string(),
  seed: z.number().int().optional(),
}) as z.ZodType<Generator>;
