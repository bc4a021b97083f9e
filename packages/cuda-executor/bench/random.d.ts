/** mulberry32: 32 bits of state, uniform in [0, 1). */
export declare function seededRandom(seed: number): () => number;
/** A random permutation of 0 … count − 1 (Fisher–Yates). */
export declare function permutation(count: number, random: () => number): Int32Array;
/** Integer in [low, high]. */
export declare function between(random: () => number, low: number, high: number): number;
export declare function pick<T>(random: () => number, from: readonly T[]): T;
//# sourceMappingURL=random.d.ts.map