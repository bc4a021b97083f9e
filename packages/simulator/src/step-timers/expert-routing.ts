// How tokens spread over the routed experts of one layer, and what of it falls on the busiest rank, in expectation.
//
// A token visits k of E experts. Routers are not even: expert e takes a share of all visits that follows a log-normal law
// over the experts (its E quantiles, so nothing is drawn), with a given coefficient of variation. A share s is visited by
// at least one of T tokens with probability 1 − (1 − k·s)^T and gets k·s·T rows of the grouped GEMM, which computes whole
// tiles of rows. With expert parallelism each rank holds E/ranks experts, dealt out so that popular ones are spread; all
// wait for the rank that most visits fall on, whose chance surplus at T tokens is that of the largest of `ranks` normals.

import { integerPower } from "../integer-power.ts";

/** Rows of one tile of a grouped GEMM, chosen: what Triton's and DeepGEMM's kernels use for few rows per expert. */
const TILE_ROWS = 16;

/**
 * Coefficient of variation of the experts' shares unless given. An estimate: the Mixtral paper (Jiang et al., 2024,
 * figure 7) shows shares between about half and twice the even one; a log-normal of 0.35 has 95 % of them there.
 */
export const EXPERT_SHARE_CV = 0.35;

/** What one grouped GEMM has to do on the busiest rank. */
export interface ExpertLoad {
  /** Experts with at least one token: their weights are read. */
  readonly visited: number;
  /** Rows of activations. */
  readonly rows: number;
  /** The same in whole tiles. */
  readonly paddedRows: number;
}

export class ExpertRouting {
  readonly expertsPerToken: number;
  readonly ranks: number;
  /** Share of visits by expert, and rank of each: popular ones first. They add up to 1. */
  readonly shares: Float64Array;
  /** Ranks that one token visits, on average, and the chance that it visits the one that is visited most. */
  readonly ranksPerToken: number;
  readonly busiestRankChance: number;
  private readonly rankOf: Int32Array;

  constructor(experts: number, expertsPerToken: number, ranks: number, shareCv: number) {
    this.expertsPerToken = expertsPerToken;
    this.ranks = ranks;
    this.shares = logNormalShares(experts, expertsPerToken, shareCv);
    // There and back again: 0 1 2 2 1 0 0 1 2 …
    this.rankOf = Int32Array.from({ length: experts }, (_, e) => {
      const at = e % (2 * ranks);
      return at < ranks ? at : 2 * ranks - 1 - at;
    });
    // A rank is missed by a token that misses each of its experts, taken as independent of one another.
    const missed = new Float64Array(ranks).fill(1);
    for (let e = 0; e < experts; e++) missed[this.rankOf[e]!]! *= 1 - expertsPerToken * this.shares[e]!;
    this.ranksPerToken = missed.reduce((sum, chance) => sum + 1 - chance, 0);
    this.busiestRankChance = missed.reduce((most, chance) => Math.max(most, 1 - chance), 0);
  }

  /** In expectation over the choices of so many tokens. */
  load(tokens: number): ExpertLoad {
    const { shares, rankOf, ranks, expertsPerToken } = this;
    const visited = new Float64Array(ranks);
    const rows = new Float64Array(ranks);
    const paddedRows = new Float64Array(ranks);
    const variance = new Float64Array(ranks);
    for (let e = 0; e < shares.length; e++) {
      const rank = rankOf[e]!;
      const chance = expertsPerToken * shares[e]!;
      const atLeastOne = 1 - integerPower(1 - chance, tokens);
      const mean = chance * tokens;
      visited[rank]! += atLeastOne;
      rows[rank]! += mean;
      variance[rank]! += mean * (1 - chance);
      // A visited expert fills its last tile by half on average, and computes one tile at least.
      paddedRows[rank]! += Math.max(TILE_ROWS * atLeastOne, mean + (TILE_ROWS / 2) * atLeastOne);
    }
    let busiest = 0;
    for (let rank = 1; rank < ranks; rank++) if (rows[rank]! > rows[busiest]!) busiest = rank;
    const surplus = largestNormal(ranks) * Math.sqrt(variance[busiest]!);
    // No rank gets more than all rows, nor a visit of an expert twice by one token.
    const atMost = tokens * Math.min(expertsPerToken, shares.length / ranks);
    const most = Math.min(rows[busiest]! + surplus, atMost);
    return {
      visited: visited[busiest]!,
      rows: most,
      paddedRows: paddedRows[busiest]! + (most - rows[busiest]!),
    };
  }
}

/** Largest first; no expert takes more than every token's visit. */
function logNormalShares(experts: number, expertsPerToken: number, cv: number): Float64Array {
  const sigma = Math.sqrt(Math.log1p(cv * cv));
  const shares = Float64Array.from({ length: experts }, (_, e) =>
    Math.exp(sigma * normalQuantile(1 - (e + 0.5) / experts)),
  );
  const most = 1 / expertsPerToken;
  // What a cap takes away is spread over the others, which may bring another one to its cap.
  for (let capped = 0; ; ) {
    let rest = 0;
    for (let e = capped; e < experts; e++) rest += shares[e]!;
    const scale = (1 - capped * most) / rest;
    for (let e = capped; e < experts; e++) shares[e]! *= scale;
    if (capped === experts || !(shares[capped]! > most)) return shares;
    shares[capped++] = most;
  }
}

/** Expected largest of n standard normals, by Blom's approximation (1958): the quantile of (n − α) / (n − 2α + 1), α = 0.375. */
function largestNormal(n: number): number {
  return n === 1 ? 0 : normalQuantile((n - 0.375) / (n + 0.25));
}

/** Inverse of the normal distribution's function by bisection of Abramowitz and Stegun 26.2.17: 7·10⁻⁸. */
function normalQuantile(p: number): number {
  let [low, high] = [-9, 9];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalBelow(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function normalBelow(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const tail =
    0.3989422804014327 *
    Math.exp((-x * x) / 2) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return x >= 0 ? 1 - tail : tail;
}
