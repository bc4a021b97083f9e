import { CudaExecutor } from "@isochron/cuda-executor";
export interface CheckContext {
    readonly executor: CudaExecutor;
    readonly seed: number;
    /** A fraction of the full work, for runs under a memory checker. */
    readonly scale: number;
    readonly report: (line: string) => void;
}
export interface Check {
    readonly name: string;
    run(context: CheckContext): Promise<void>;
}
export declare const CHECKS: readonly Check[];
//# sourceMappingURL=checks.d.ts.map