import type { CapturedGraph, CudaExecutor, LayerTensors } from "@isochron/cuda-executor";
import type { AttentionShape, Plan } from "@isochron/planner";
import { type HostBatch } from "./reference.ts";
export interface Comparison {
    /** ‖out − ref‖ / ‖ref‖ over all compared rows. */
    readonly relativeError: number;
    /** Largest |lse − ref|. */
    readonly lseError: number;
    /** Elements of output or lse that were never written, or are not numbers. */
    readonly unwritten: number;
}
/** Room for `pages` pages and `queryTokens` query tokens, with host copies for the reference. */
export declare class Bed {
    readonly attention: AttentionShape;
    readonly layer: LayerTensors;
    readonly pages: number;
    readonly headMajor: boolean;
    private readonly host;
    private pageIndices;
    private constructor();
    static create(executor: CudaExecutor, attention: AttentionShape, pages: number, queryTokens: number, headMajor: boolean, seed: number, tableLength?: number): Promise<Bed>;
    /** Gives the next batch a new random page table. */
    shufflePages(random: () => number): Promise<void>;
    /** Gives the next batch this page table. */
    setPages(pageIndices: Int32Array): Promise<void>;
    /** NaN everywhere, so that what is not written shows. */
    poison(): void;
    outputBits(tokens: number): Promise<Uint16Array>;
    /** Compares what the device holds with the reference, on rows that `wanted` chooses; looks for poison on all rows. */
    compare(batch: HostBatch, wanted: (row: number) => boolean): Promise<Comparison>;
    close(): void;
}
/** Replays a plan on the bed and compares. */
export declare function replayAndCompare(bed: Bed, graph: CapturedGraph, plan: Plan, batch: HostBatch, wanted: (row: number) => boolean): Promise<Comparison>;
/** Rows a reference may cost: all of them while cheap, a random sample otherwise. */
export declare function sampleRows(attention: AttentionShape, batch: HostBatch, random: () => number, budget: number): (row: number) => boolean;
//# sourceMappingURL=bed.d.ts.map