// What checks share: what each is given, the usual attention shape, when a result is close enough, and what batches are called.

import type { CudaExecutor } from "@isochron/cuda-executor";
import type { AttentionShape } from "@isochron/planner";
import type { Comparison } from "./bed.ts";
import type { HostBatch } from "./reference.ts";

export interface CheckContext {
  readonly executor: CudaExecutor;
  readonly seed: number;
  /** A fraction of the full work, for runs under a memory checker. */
  readonly scale: number;
  readonly report: (line: string) => void;
  /** Says now and then how far a long check has come. */
  readonly progress: (done: number, all: number) => void;
}

export const MODEL: AttentionShape = {
  queryHeads: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: "bf16",
  kvDtype: "bf16",
  pageSize: 16,
  mask: { kind: "causal" },
};

const TOLERANCE = { bf16: 5e-3, fp16: 1e-3, fp32: 0 } as const;
const LSE_TOLERANCE = 1e-3;

/** Throws where output or log-sum-exp are further from float64 attention than 16-bit tensors explain. */
export function assertClose(attention: AttentionShape, found: Comparison, what: string): void {
  const tolerance = TOLERANCE[attention.dtype];
  const isClose = found.relativeError <= tolerance && found.lseError <= LSE_TOLERANCE && found.unwritten === 0;
  if (!isClose) {
    throw new Error(
      `${what}: relative error ${found.relativeError}, lse error ${found.lseError}, ${found.unwritten} unwritten`,
    );
  }
}

/** What is said of a batch that failed. */
export function describe(attention: AttentionShape, headMajor: boolean, batch: HostBatch): string {
  const { queryHeads, kvHeads, headDim, dtype, pageSize, mask, softCap, sinks } = attention;
  const options = [
    `${queryHeads}/${kvHeads}×${headDim} ${dtype} page ${pageSize} ${mask.kind}`,
    ...(softCap === undefined ? [] : [`cap ${softCap}`]),
    ...(sinks === true ? ["sinks"] : []),
    headMajor ? "HND" : "NHD",
  ];
  const lengths = batch.qoLens.map((q, i) => `${q}/${batch.kvLens[i]}`);
  return `${options.join(" ")}, batch ${lengths.slice(0, 8).join(" ")}${lengths.length > 8 ? " …" : ""}`;
}

export function tokensOf(batch: HostBatch): number {
  return batch.qoLens.reduce((sum, length) => sum + length, 0);
}

export function pagesOf(batch: HostBatch, pageSize: number): number {
  return batch.kvLens.reduce((sum, length) => sum + Math.ceil(length / pageSize), 0);
}
