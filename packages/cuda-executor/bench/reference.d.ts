import type { AttentionShape } from "@isochron/planner";
/** Decoded tensors of one batch; key and value are [pages, pageSize, kvHeads, headDim]. */
export interface HostTensors {
    readonly query: Float32Array;
    readonly key: Float32Array;
    readonly value: Float32Array;
    readonly pageIndices: Int32Array;
    readonly sinks?: Float32Array;
}
export interface HostBatch {
    readonly qoLens: readonly number[];
    readonly kvLens: readonly number[];
}
/** Visits every query row with its float64 output and log-sum-exp. `output` is reused from call to call. */
export declare function forEachRow(attention: AttentionShape, batch: HostBatch, tensors: HostTensors, wanted: (row: number) => boolean, visit: (row: number, output: Float64Array, lse: number) => void): void;
//# sourceMappingURL=reference.d.ts.map