// What FlashInfer's host planners take, under FlashInfer's own names (snake case), and what all of them compute alike.

/** One planning call. The five planners read different subsets; a field that a planner does not read is ignored. */
export interface FlashInferInput {
  readonly num_sm: number;
  /** Resident CTAs of the decode kernel on one SM; read by the decode planner alone. */
  readonly occ?: number;
  readonly num_qo_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim_qk: number;
  readonly head_dim_vo: number;
  readonly page_size: number;
  readonly causal: boolean;
  readonly enable_cuda_graph: boolean;
  /** Tokens to the left of the query's own that it sees; −1 for no window. */
  readonly window_left: number;
  /** Pages in one chunk; −1 to let the planner choose. */
  readonly fixed_split_size: number;
  readonly disable_split_kv: boolean;
  readonly num_colocated_ctas: number;
  /** Query tokens of every request where they are all equal and a graph is captured; 0 where unknown. */
  readonly uniform_q_len: number;
  /** Query tokens of the batch, or of the largest batch that a captured graph replays. */
  readonly total_num_rows: number;
  readonly batch_size: number;
  /** Query tokens before each request, batch_size + 1 entries. */
  readonly qo_indptr: ArrayLike<number>;
  /** Pages before each request, batch_size + 1 entries. */
  readonly kv_indptr: ArrayLike<number>;
  /** KV tokens of each request. */
  readonly kv_len: ArrayLike<number>;
}

/** FlashInfer itself stops at this input, or would overrun its own buffers. */
export class FlashInferLimitError extends Error {
  override readonly name = "FlashInferLimitError";
  readonly planner: string;
  readonly quantity: string;
  readonly value: number;
  readonly limit: string;

  constructor(planner: string, quantity: string, value: number, limit: string) {
    super(`FlashInfer's ${planner} planner cannot plan this batch: ${quantity} is ${value}, its limit is ${limit}`);
    this.planner = planner;
    this.quantity = quantity;
    this.value = value;
    this.limit = limit;
  }
}

export function ceilDiv(a: number, b: number): number {
  return Math.floor((a + b - 1) / b);
}

/**
 * KV tokens that a query tile reads under a causal mask: all of them for the last tile, else up to the tile's last row,
 * right aligned. `group` is the number of query heads packed into the rows.
 */
export function causalKvEnd(
  qoLen: number,
  kvLen: number,
  qoTile: number,
  tileRows: number,
  qoTiles: number,
  group: number,
): number {
  if (qoTile + 1 === qoTiles) return kvLen;
  return Math.max(0, Math.min(kvLen - qoLen + ceilDiv((qoTile + 1) * tileRows, group), kvLen));
}

/** Smallest chunk that the decode and FA2 planners choose, in pages: 128 tokens or one page. */
export function smallestChunkPages(pageSize: number): number {
  return Math.max(Math.floor(128 / pageSize), 1);
}
