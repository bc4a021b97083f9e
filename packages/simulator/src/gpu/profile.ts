// `gpu-profile/1`: what the simulator believes about one GPU. Every number names its source.
//
// A profile is data: it is measured by `isochron calibrate`, or built from published measurements and data sheets.
// Units are in the names; bandwidths are GB/s = 10⁹ bytes/s, times are microseconds.

import { z } from "zod";

/** How a number came about. Only `measured` and `fitted` numbers come from running something on the GPU itself. */
export const SOURCE_BASES = ["measured", "fitted", "data sheet", "estimated"] as const;

export interface ProfileSource {
  readonly basis: (typeof SOURCE_BASES)[number];
  /** What was measured or read, and how. */
  readonly what: string;
  readonly by: string;
  /** ISO date, or as much of one as is known. */
  readonly when: string;
}

/** One number and the key of its source in `GpuProfile.sources`. */
export interface Quantity {
  readonly value: number;
  readonly source: string;
}

/** A piecewise linear function: [x, y] with x ascending. */
export interface CurveTable {
  readonly rows: readonly (readonly [number, number])[];
  readonly source: string;
}

/** What one attention kernel costs apart from memory bandwidth. */
export interface AttentionKernelProfile {
  /** From taking a piece to its first KV bytes being used, for the first piece of a worker. */
  readonly startUs: Quantity;
  /** The same for later pieces of a worker: less where a kernel prefetches across pieces. */
  readonly nextStartUs: Quantity;
  /** From the last KV tile to the piece's output being visible to others. */
  readonly writeOutUs: Quantity;
  /** KV tokens of one KV tile. */
  readonly kvTileTokens: Quantity;
  /** Throughput of the whole GPU by query-tile rows, 16-bit types. */
  readonly tensorTflops: { readonly rows: readonly (readonly [number, number])[]; readonly source: string };
  /** Whether rows that pad a query tile are computed like others; true unless given (tensor cores). */
  readonly computesPadding?: boolean | undefined;
  /** Largest share of its SM's throughput that one CTA can use; 1 unless given. */
  readonly ctaShare?: Quantity | undefined;
  /** What a CTA keeps in flight, in units of the CTA that the bandwidth curve was measured with; 1 unless given. */
  readonly ctaStreams?: Quantity | undefined;
  /** Most KV that one CTA takes in, where its arithmetic and not memory holds it up; no bound unless given. */
  readonly ctaGBps?: Quantity | undefined;
  /**
   * What its launch takes where it may begin before the kernel ahead of it has ended (programmatic dependent launch);
   * the profile's graph node unless given.
   */
  readonly dependentLaunchUs?: Quantity | undefined;
  /** Launches around the attention kernel, such as one that prepares its schedule; 0 unless given. */
  readonly preparationUs?: Quantity | undefined;
  /** Whether KV tokens that pad a KV tile (beyond the mask, past the end) are computed like others; false unless given. */
  readonly computesWholeTiles?: boolean | undefined;
  /**
   * KV tokens that have to be in before a piece computes anything, and that it computes when its last byte is in: what its
   * pipeline holds while it fills and while it empties. 0 unless given: bytes and flops run side by side from the start.
   */
  readonly fillTokens?: Quantity | undefined;
  /** A CTA of a grid that finds that it has nothing to do, until its place is free; 0 unless given. */
  readonly emptyCtaUs?: Quantity | undefined;
  /**
   * From the last byte and flop of a piece to its end, while its CTA streams the next piece, in kernels whose warps share
   * that work: the last rescaling, the epilogue. Stands in for writeOutUs; 0 unless given.
   */
  readonly drainUs?: Quantity | undefined;
  /** The same for each row of the query tile that is not padding; 0 unless given. */
  readonly drainRowUs?: Quantity | undefined;
  /** Until a worker's first queries are in, for each row: later ones come in behind the piece before; 0 unless given. */
  readonly queryRowUs?: Quantity | undefined;
  /** Copies around the kernel that bring the query heads of a group together, for batches of two requests and more. */
  readonly regroupingUs?: Quantity | undefined;
  /** What preparation takes longer for each request, and up to how many requests it does; 0 unless given. */
  readonly preparationRequestUs?: Quantity | undefined;
  readonly mostPreparedRequests?: Quantity | undefined;
  /** Finding the request of a lane's next piece, for each 31 requests that lie between: a warp looks at so many at a time. */
  readonly requestWalkUs?: Quantity | undefined;
  /**
   * A CTA of the kernel ahead that writes new keys and values into the cache, in times that include it: it has one for
   * each token. The first ones belong to preparationUs; 0 unless given.
   */
  readonly kvWriteUs?: Quantity | undefined;
  /** How this kernel merges, where it is not as `merge` of the profile says. */
  readonly merge?: KernelMerge | undefined;
}

/** Merging as the profile's `merge` has it, and the launch of a merge kernel of its own. */
export interface KernelMerge {
  readonly launchUs: Quantity;
  readonly fixedUs: Quantity;
  readonly roundUs: Quantity;
  readonly partialUs: Quantity;
  readonly rowsAtOnce: Quantity;
  /** CTAs of a merge kernel of its own on one SM: then each takes `rowsAtOnce` rows of one merge. */
  readonly ctasPerSm?: Quantity | undefined;
}

export interface GpuProfile {
  readonly isochron: "gpu-profile/1";
  /** Name by which it is found: lower case, digits and dashes. */
  readonly name: string;
  readonly title: string;
  /** True when attention and GEMM times rest on measurements of this GPU, false when on data sheets. */
  readonly calibrated: boolean;
  readonly sources: Readonly<Record<string, ProfileSource>>;
  readonly device: {
    readonly smCount: Quantity;
    /** CTAs of the persistent attention kernel on one SM. */
    readonly ctasPerSm: Quantity;
    readonly clockMHz: Quantity;
    readonly l2Bytes: Quantity;
    readonly memoryBytes: Quantity;
  };
  readonly memory: {
    readonly dataSheetGBps: Quantity;
    /** HBM read bandwidth that n CTAs reach together, spread over the SMs: [n, GB/s]. */
    readonly achievedGBps: CurveTable;
    /** What one CTA alone pulls. */
    readonly perCtaGBps: Quantity;
    /** What one SM can take in. */
    readonly perSmGBps: Quantity;
    /** What all SMs together read from L2. */
    readonly l2GBps: Quantity;
  };
  readonly tensor: {
    /** Dense data-sheet throughput. */
    readonly peakTflops: { readonly bf16: Quantity; readonly fp8?: Quantity | undefined };
  };
  /** The attention kernel, unless one of `attentionKernels` says otherwise. */
  readonly attention: AttentionKernelProfile;
  /** Kernels of certain planning policies, and kernels that are simulated only when they are asked for by name. */
  readonly attentionKernels?:
    | readonly (AttentionKernelProfile & {
        readonly policies: readonly string[];
        readonly name?: string | undefined;
      })[]
    | undefined;
  readonly merge: {
    /** First merge of a worker: noticing that the partial states are there. */
    readonly fixedUs: Quantity;
    /** Each round of up to `rowsAtOnce` rows: reading and writing, partial states apart. */
    readonly roundUs: Quantity;
    /** Folding one partial state in one round. */
    readonly partialUs: Quantity;
    /** Rows that one CTA folds at the same time. */
    readonly rowsAtOnce: Quantity;
  };
  readonly launch: {
    /** A kernel launched to a stream by itself, end to end. */
    readonly streamUs: Quantity;
    /** A node of a graph that is being replayed, behind its predecessor. */
    readonly graphNodeUs: Quantity;
    /** A graph of one node, end to end. */
    readonly graphUs: Quantity;
    /** A barrier over all CTAs: [CTAs, µs]. */
    readonly gridBarrierUs: CurveTable;
  };
  readonly gemm: {
    /** Measured y = x·Wᵀ with W of n × k: [m, µs] in ascending m. */
    readonly shapes: readonly {
      readonly n: number;
      readonly k: number;
      readonly rows: readonly (readonly [number, number])[];
      readonly source: string;
    }[];
    /** For shapes that were not measured: fixed + max(flops / tflops, bytes / GBps). */
    readonly fixedUs: Quantity;
    readonly tflops: Quantity;
    readonly memoryGBps: Quantity;
    /** Most that GEMMs one after another reach for long, at the power that the GPU may draw; no bound unless given. */
    readonly sustainedTflops?: Quantity | undefined;
  };
  /** What one GPU sends to the others, one direction. For GPU counts without a table. */
  readonly interconnectGBps: Quantity;
  readonly allReduce: readonly {
    readonly gpus: number;
    /** [bytes, µs] in ascending bytes. */
    readonly rows: readonly (readonly [number, number])[];
    readonly source: string;
  }[];
  /** Every GPU of so many sends each an equal part of its bytes: [bytes of one GPU, µs] in ascending bytes. */
  readonly allToAll?: GpuProfile["allReduce"] | undefined;
  /** A small kernel (norm, activation, rotary embedding): fixed + bytes / GBps. */
  readonly elementwise: { readonly fixedUs: Quantity; readonly memoryGBps: Quantity };
  /** Sampling: fixed + bytes of logits moved. */
  readonly sampler: { readonly fixedUs: Quantity; readonly bytesPerLogit: Quantity };
  /** Time that the GPU waits for the host between steps. */
  readonly host: { readonly stepUs: Quantity; readonly requestUs: Quantity };
}

const positive = z.number().positive();
const quantity = z.strictObject({ value: z.number().min(0), source: z.string().min(1) });
const positiveQuantity = z.strictObject({ value: positive, source: z.string().min(1) });
const count = z.strictObject({ value: z.number().int().min(1), source: z.string().min(1) });
const rows = z
  .array(z.tuple([positive, positive]))
  .min(1)
  .refine((all) => all.every((row, i) => i === 0 || row[0] > all[i - 1]![0]), {
    error: "first column must be strictly ascending",
  });
const curve = z.strictObject({ rows, source: z.string().min(1) });

const attentionFields = {
  startUs: quantity,
  nextStartUs: quantity,
  writeOutUs: quantity,
  kvTileTokens: count,
  tensorTflops: curve,
  computesPadding: z.boolean().optional(),
  ctaShare: positiveQuantity.optional(),
  ctaStreams: positiveQuantity.optional(),
  ctaGBps: positiveQuantity.optional(),
  dependentLaunchUs: quantity.optional(),
  preparationUs: quantity.optional(),
  computesWholeTiles: z.boolean().optional(),
  fillTokens: quantity.optional(),
  emptyCtaUs: quantity.optional(),
  drainUs: quantity.optional(),
  drainRowUs: quantity.optional(),
  queryRowUs: quantity.optional(),
  regroupingUs: quantity.optional(),
  preparationRequestUs: quantity.optional(),
  mostPreparedRequests: count.optional(),
  requestWalkUs: quantity.optional(),
  kvWriteUs: quantity.optional(),
  merge: z
    .strictObject({
      launchUs: quantity,
      fixedUs: quantity,
      roundUs: quantity,
      partialUs: quantity,
      rowsAtOnce: count,
      ctasPerSm: count.optional(),
    })
    .optional(),
};

const collective = z.strictObject({ gpus: z.number().int().min(2), rows, source: z.string().min(1) });

export const gpuProfileSchema: z.ZodType<GpuProfile> = z
  .strictObject({
    isochron: z.literal("gpu-profile/1"),
    name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, "expected lower-case letters, digits and dashes"),
    title: z.string(),
    calibrated: z.boolean(),
    sources: z.record(
      z.string(),
      z.strictObject({ basis: z.enum(SOURCE_BASES), what: z.string(), by: z.string(), when: z.string() }),
    ),
    device: z.strictObject({
      smCount: count,
      ctasPerSm: count,
      clockMHz: positiveQuantity,
      l2Bytes: count,
      memoryBytes: count,
    }),
    memory: z.strictObject({
      dataSheetGBps: positiveQuantity,
      achievedGBps: curve,
      perCtaGBps: positiveQuantity,
      perSmGBps: positiveQuantity,
      l2GBps: positiveQuantity,
    }),
    tensor: z.strictObject({
      peakTflops: z.strictObject({ bf16: positiveQuantity, fp8: positiveQuantity.optional() }),
    }),
    attention: z.strictObject(attentionFields),
    attentionKernels: z
      .array(z.strictObject({ name: z.string().optional(), policies: z.array(z.string()), ...attentionFields }))
      .optional(),
    merge: z.strictObject({ fixedUs: quantity, roundUs: quantity, partialUs: quantity, rowsAtOnce: count }),
    launch: z.strictObject({ streamUs: quantity, graphNodeUs: quantity, graphUs: quantity, gridBarrierUs: curve }),
    gemm: z.strictObject({
      shapes: z.array(
        z.strictObject({ n: z.number().int().min(1), k: z.number().int().min(1), rows, source: z.string().min(1) }),
      ),
      fixedUs: quantity,
      tflops: positiveQuantity,
      memoryGBps: positiveQuantity,
      sustainedTflops: positiveQuantity.optional(),
    }),
    interconnectGBps: positiveQuantity,
    allReduce: z.array(collective),
    allToAll: z.array(collective).optional(),
    elementwise: z.strictObject({ fixedUs: quantity, memoryGBps: positiveQuantity }),
    sampler: z.strictObject({ fixedUs: quantity, bytesPerLogit: quantity }),
    host: z.strictObject({ stepUs: quantity, requestUs: quantity }),
  })
  .superRefine((profile, context) => {
    for (const { path, source } of namedSources(profile, [])) {
      if (Object.hasOwn(profile.sources, source)) continue;
      context.addIssue({ code: "custom", path, message: `names the source "${source}", which is not in sources` });
    }
  }) as z.ZodType<GpuProfile>;

/** Every `source` field outside the table of sources, with its path. */
function* namedSources(
  node: unknown,
  path: (string | number)[],
): Generator<{ path: (string | number)[]; source: string }> {
  if (typeof node !== "object" || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (path.length === 0 && key === "sources") continue;
    if (key === "source" && typeof value === "string") {
      yield { path: [...path, key], source: value };
    } else {
      yield* namedSources(value, [...path, key]);
    }
  }
}
