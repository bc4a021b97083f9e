// What every check is given.

import type { CudaExecutor } from "@isochron/cuda-executor";

export interface CheckContext {
  readonly executor: CudaExecutor;
  readonly seed: number;
  /** A fraction of the full work, for runs under a memory checker. */
  readonly scale: number;
  readonly report: (line: string) => void;
}
