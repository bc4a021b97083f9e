// How a checkpoint says that its weights are stored narrower than it computes: `quantization_config` of the tools that
// publish most of them.

import { z } from "zod";
import type { WeightDtype } from "./model-config.ts";

/** What the weights are read as, and what that leaves out. */
export interface StoredWeights {
  readonly dtype: WeightDtype;
  readonly note?: string;
}

const schema = z.object({
  quant_method: z.string().optional(),
  bits: z.number().optional(),
  load_in_4bit: z.boolean().optional(),
  quant_algo: z.string().optional(),
  quantization: z.object({ quant_algo: z.string().optional() }).optional(),
  config_groups: z
    .record(
      z.string(),
      z.object({ weights: z.object({ num_bits: z.number().optional(), type: z.string().optional() }).nullish() }),
    )
    .optional(),
});

type Quantization = z.infer<typeof schema>;

/** Undefined where the width is none that is modelled. */
export function storedWeights(quantization: unknown): StoredWeights | undefined {
  const found = schema.safeParse(quantization).data;
  const method = found?.quant_method ?? "";
  return found !== undefined && Object.hasOwn(BY_METHOD, method) ? BY_METHOD[method]!(found) : undefined;
}

const FP8: StoredWeights = { dtype: "fp8" };
const INT4: StoredWeights = { dtype: "int4" };
/** 4.25 bits with their scales, where int4 has 4.13; attention stays at 16 bits there. */
const MICROSCALED: StoredWeights = {
  dtype: "int4",
  note: "4-bit floating-point weights are taken for int4, in attention too",
};

const BY_METHOD: Readonly<Record<string, (config: Quantization) => StoredWeights | undefined>> = {
  fp8: () => FP8,
  fbgemm_fp8: () => FP8,
  awq: ({ bits = 4 }) => (bits === 4 ? INT4 : undefined),
  gptq: ({ bits = 4 }) => (bits === 4 ? INT4 : undefined),
  bitsandbytes: ({ load_in_4bit }) => (load_in_4bit === true ? INT4 : undefined),
  mxfp4: () => MICROSCALED,
  modelopt: ({ quant_algo, quantization }) => {
    const algorithm = quant_algo ?? quantization?.quant_algo ?? "";
    return algorithm.startsWith("FP8") ? FP8 : algorithm === "NVFP4" ? MICROSCALED : undefined;
  },
  "compressed-tensors": ({ config_groups = {} }) => {
    const widths = Object.values(config_groups).map(({ weights }) => `${weights?.type ?? "int"}${weights?.num_bits}`);
    if (new Set(widths).size !== 1) return undefined;
    return { float8: FP8, int4: INT4, float4: MICROSCALED }[widths[0]!];
  },
};
