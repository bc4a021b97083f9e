// Query tiles of up to 128 rows on Hopper's warpgroup instructions: what one of two consumer warpgroups does with a piece.
//
// Warpgroup g owns rows [64g, 64g + 64); both read the same KV tiles from the ring, so a tile crosses from L2 once for 128
// rows: 128 flops a byte. Queries and probabilities stay in registers as left operands. The products of tile j + 1 with
// the keys and of tile j with the values are queued together, and the softmax of tile j + 1 runs while the latter go on:
//   S(j+1) = Q·K(j+1)ᵀ, O += P(j)·V(j)  →  wait for S  →  softmax  →  wait for O, scale it, P(j+1).
// So keys are needed a tile earlier than values and given back earlier: each stage has barriers for both.
#pragma once
#include "log_sum_exp.cuh"
#include "mbarrier.cuh"
#include "row_block.cuh"
#include "warpgroup.cuh"

namespace isochron {

/** KV tiles of 32 KiB that the ring holds: as many as fit. With 3, short pieces lose 8 %. */
constexpr int kRingTiles = 5;
/** Chosen: a pair of workers seldom has more records. */
constexpr int kTallNearbyRecords = 48;
template <int D>
struct TallShape {
  static constexpr int stages = D == 64 ? 2 * kRingTiles : kRingTiles;
  static constexpr int ringBytes = stages * Shape<D>::stageBytes;
  static constexpr int combineBytes = kWarps * kCombineRows * D * 4;  // of one warpgroup; query tiles while pieces are tall
  static_assert(combineBytes >= 64 * D * 2, "a warpgroup's query rows lie where short pieces combine");
  static constexpr int recordBytes = kTallNearbyRecords * int(sizeof(PieceRecord));
  static constexpr int sharedBytes = ringBytes + 2 * combineBytes + 2 * Shape<D>::stateBytes + recordBytes;
};

#if ISOCHRON_WARPGROUP

/** A place in the ring: tile n of a CTA lies in stage n mod `stages`. */
template <int D>
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;

  __device__ __forceinline__ void advance() {
    if (++stage == TallShape<D>::stages) stage = 0, parity ^= 1;
  }
};

/** Each stage of the ring has a barrier of 8 bytes for its keys and then one for its values. */
constexpr int kBarriersPerStage = 2, kStageBarrierBytes = 8 * kBarriersPerStage;

/** The consumers' side of the ring. All 8 warps pass every tile in order; keys come and go ahead of values. */
template <int D>
struct RingReader {
  uint32_t ring, full, empty;           // addresses of stage 0 and of its barriers
  uint32_t keyMatrices, valueMatrices;  // descriptor bases of stage 0
  RingPlace<D> keys, values;

  /** Addresses are broadcast so that the compiler keeps them instead of working them out for every tile. */
  __device__ __forceinline__ RingReader(uint32_t ringAddress, uint32_t fullBarriers, uint32_t emptyBarriers)
      : ring(ptx::broadcast(ringAddress)), full(ptx::broadcast(fullBarriers)), empty(ptx::broadcast(emptyBarriers)) {
    keyMatrices = ptx::descriptorBase(ring, 16);
    valueMatrices = ptx::descriptorBase(ring + Shape<D>::tensorBytes, Shape<D>::planeBytes);
  }

  /** The stage of a tile whose keys and values are both taken next. */
  __device__ __forceinline__ uint32_t address() const { return ring + keys.stage * Shape<D>::stageBytes; }
  __device__ __forceinline__ uint32_t keyMatrix() const { return matrix(keyMatrices, keys); }
  __device__ __forceinline__ uint32_t valueMatrix() const { return matrix(valueMatrices, values); }
  __device__ __forceinline__ void waitKeys() const { ptx::barrierWait(full + keys.stage * kStageBarrierBytes, keys.parity); }
  __device__ __forceinline__ void waitValues() const { ptx::barrierWait(full + values.stage * kStageBarrierBytes + 8, values.parity); }
  /** This thread has read them. Each says so for itself: racecheck does not follow one lane that speaks for its warp. */
  __device__ __forceinline__ void releaseKeys() {
    ptx::barrierArrive(empty + keys.stage * kStageBarrierBytes);
    keys.advance();
  }
  __device__ __forceinline__ void releaseValues() {
    ptx::barrierArrive(empty + values.stage * kStageBarrierBytes + 8);
    values.advance();
  }
  /** Lets `tiles` tiles pass that concern only others. */
  __device__ __forceinline__ void pass(int tiles) {
#pragma unroll 1
    for (int i = 0; i < tiles; i++) {
      waitKeys();
      releaseKeys();
      waitValues();
      releaseValues();
    }
  }

 private:
  /** The same in all lanes, as the compiler then knows: descriptors belong in uniform registers. */
  static __device__ __forceinline__ uint32_t matrix(uint32_t ofStage0, const RingPlace<D>& at) {
    return ptx::broadcast(ofStage0 + at.stage * (Shape<D>::stageBytes >> 4));
  }
};

/** Among the four lanes of a quad: word j of lane t becomes word t of lane j. */
__device__ __forceinline__ void transposeQuad(uint32_t (&w)[4], int lane) {
  const bool upper = (lane & 2) != 0, odd = (lane & 1) != 0;
  const uint32_t a = __shfl_xor_sync(0xffffffffu, upper ? w[0] : w[2], 2), b = __shfl_xor_sync(0xffffffffu, upper ? w[1] : w[3], 2);
  if (upper) w[0] = a, w[1] = b;
  else w[2] = a, w[3] = b;
  const uint32_t c = __shfl_xor_sync(0xffffffffu, odd ? w[0] : w[1], 1), d = __shfl_xor_sync(0xffffffffu, odd ? w[2] : w[3], 1);
  if (odd) w[0] = c, w[2] = d;
  else w[1] = c, w[3] = d;
}

/** Where unit `unit` of a warp's query row `row` lies in its tile of 16 rows: ldmatrix meets no bank twice. */
template <int D>
__device__ __forceinline__ uint32_t queryUnit(uint32_t tile, int row, int unit) {
  return tile + row * (D * 2) + ((unit ^ (row & 7)) << 4);
}

/** Queues copies of the query rows [rowBase, rowBase + 16) of a piece into the warp's query tile; rows past its end are zeros. */
template <class T, int D>
__device__ __forceinline__ void copyTallQuery(const AttentionParams& p, const PieceRecord& piece, int head, int rowBase, int lane,
                                              uint32_t tile) {
  const int row = lane >> 1;
  const bool valid = rowBase + row < piece.validRows();
  const int64_t tokenHead = valid ? locateRow(p, piece, head, rowBase + row).tokenHead : 0;
  const char* source = static_cast<const char*>(p.query) + tokenHead * (D * 2) + (lane & 1) * 16;
  const uint64_t policy = ptx::policyEvictFirst();
#pragma unroll
  for (int i = 0; i < D / 16; i++) ptx::copyAsync16(queryUnit<D>(tile, row, 2 * i + (lane & 1)), source + i * 32, valid, policy);
  ptx::copyAsyncCommit();
}

/** KV position of the query token of a piece's row; all KV of a group stands before every member's query tokens. */
__device__ __forceinline__ int positionOf(const AttentionParams& p, const PieceRecord& piece, int row) {
  return (piece.memberCount > 0 ? kGroupHistory : piece.kvLen - piece.qoLen) + tokenOf(p, piece.rowStart + row);
}

/** Waits for the warp's query tile and takes it into registers, with what its rows see. */
template <class T, int D>
__device__ __forceinline__ void takeTallQuery(const AttentionParams& p, const PieceRecord& piece, int rowBase, int lane, uint32_t tile,
                                              RowBlock<T, D>& block) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int position = positionOf(p, piece, min(rowBase + (lane >> 2) + 8 * half, piece.validRows() - 1));
    block.low[half] = p.window > 0 ? max(0, position - p.window + 1) : 0;
    block.high[half] = p.causal ? min(piece.kvEnd, position + 1) : piece.kvEnd;
  }
  block.commonLow = __reduce_max_sync(0xffffffffu, max(block.low[0], block.low[1]));
  block.commonHigh = __reduce_min_sync(0xffffffffu, min(block.high[0], block.high[1]));
  ptx::copyAsyncWait<0>();
  __syncwarp();
#pragma unroll
  for (int k = 0; k < D / 16; k++) ptx::loadMatrix4(block.q[k], queryUnit<D>(tile, lane & 15, 2 * k + (lane >> 4)));
  __syncwarp();
}

/** Writes rows [rowBase, rowBase + 16) of a piece without a slot, 16 bytes a lane. */
template <class T, int D>
__device__ __forceinline__ void writeTallRows(const AttentionParams& p, const PieceRecord& piece, int head, const RowBlock<T, D>& block,
                                              int rowBase, int lane) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = rowBase + (lane >> 2) + 8 * half;
    float maximum = block.maximum[half], sum = block.sum[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const bool valid = row < piece.validRows();
    const int64_t tokenHead = valid ? locateRow(p, piece, head, row).tokenHead : 0;
    const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
    const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
    uint4* target = reinterpret_cast<uint4*>(static_cast<T*>(p.output) + tokenHead * D) + (lane & 3);
#pragma unroll
    for (int i = 0; i < D / 32; i++) {
      uint32_t words[4];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        words[j] = ptx::pack<T>(block.o[4 * i + j][2 * half] * inverse, block.o[4 * i + j][2 * half + 1] * inverse);
      }
      transposeQuad(words, lane);
      if (valid) target[i * 4] = make_uint4(words[0], words[1], words[2], words[3]);
    }
    if (valid && (lane & 3) == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
  }
}

/** s = Q·Kᵀ of the tile's 64 tokens; queued, not awaited. */
template <class T, int D>
__device__ __forceinline__ void queueScores(const RowBlock<T, D>& block, float (&s)[8][4], uint32_t keyMatrix) {
#pragma unroll
  for (int k = 0; k < D / 16; k++) {
    const uint64_t keys = ptx::matrixDescriptor<1024>(keyMatrix, (k >> 2) * Shape<D>::planeBytes + (k & 3) * 32);
    ptx::Warpgroup<T>::multiplyTransposed(s, block.q[k], keys, k > 0);
  }
  ptx::warpgroupCommit();
}

/** o += P·V of the tile's 64 tokens; queued, not awaited. */
template <class T, int D>
__device__ __forceinline__ void queueValues(RowBlock<T, D>& block, const uint32_t (&probability)[4][4], uint32_t valueMatrix) {
#pragma unroll
  for (int k = 0; k < 4; k++) ptx::Warpgroup<T>::multiplyAdd(block.o, probability[k], ptx::matrixDescriptor<1024>(valueMatrix, k * 2048));
  ptx::warpgroupCommit();
}

// Exponentials are taken from a reference (`maximum`) that need not be the largest score so far: sums and outputs are the same
// from any reference from which nothing overflows. So a tile's maximum is sought only where the reference is not good enough,
// which the sums tell afterwards: 2^14 in a lane is far from what fp16 holds, and random scores never get there.

/** log2 of how far scores may outgrow the reference before it follows them, where a maximum was sought. */
constexpr float kLateScaling = 8.f;
/** A lane's sum of a row's exponentials in a tile with which the reference is good enough. */
constexpr float kLargestSum = 16384.f;

/** Soft cap; and mask, where the tile is not visible to all rows. */
template <class T, int D>
__device__ __forceinline__ void capAndMask(const AttentionParams& p, const RowBlock<T, D>& block, float (&s)[8][4], bool masked,
                                           int firstToken, int lane) {
  if (p.softCapLog2 > 0.f) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[j][e] = p.softCapLog2 * (1.f - __fdividef(2.f, 1.f + ptx::exp2Fast(s[j][e] * p.scaleOverSoftCap)));
      }
    }
  }
  if (masked) {
    const int first = firstToken + (lane & 3) * 2;
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int token = first + j * 8 + (e & 1);
        if (token >= block.high[e >> 1] || token < block.low[e >> 1]) s[j][e] = -INFINITY;
      }
    }
  }
}

/** Lets the reference follow the largest score where that has outgrown it. Returns whether it did: `o` is then to be scaled by `factor`. */
template <class T, int D>
__device__ __forceinline__ bool followScores(RowBlock<T, D>& block, const float (&s)[8][4], float (&factor)[2], float scale) {
  float largest[2];
#pragma unroll
  for (int e = 0; e < 2; e++) {
    float m = fmaxf(s[0][2 * e], s[0][2 * e + 1]), n = fmaxf(s[1][2 * e], s[1][2 * e + 1]);
#pragma unroll
    for (int j = 2; j < 8; j += 2) {
      m = fmaxf(m, fmaxf(s[j][2 * e], s[j][2 * e + 1]));
      n = fmaxf(n, fmaxf(s[j + 1][2 * e], s[j + 1][2 * e + 1]));
    }
    largest[e] = fmaxf(m, n);
  }
#pragma unroll
  for (int d = 1; d <= 2; d <<= 1) {
#pragma unroll
    for (int e = 0; e < 2; e++) largest[e] = fmaxf(largest[e], __shfl_xor_sync(0xffffffffu, largest[e], d));
  }
  const bool outgrown = largest[0] * scale > block.maximum[0] + kLateScaling || largest[1] * scale > block.maximum[1] + kLateScaling;
  const bool scaled = __any_sync(0xffffffffu, outgrown);
  if (scaled) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const float previous = block.maximum[e];
      block.maximum[e] = fmaxf(previous, largest[e] * scale);
      factor[e] = ptx::exp2Fast(previous - (block.maximum[e] == -INFINITY ? 0.f : block.maximum[e]));
      block.sum[e] *= factor[e];
    }
  }
  return scaled;
}

/** Turns scores into exponentials. `sums`: of this lane's, by row. */
template <class T, int D>
__device__ __forceinline__ void exponentiate(const RowBlock<T, D>& block, float (&s)[8][4], float (&sums)[2], float scale) {
#pragma unroll
  for (int e = 0; e < 2; e++) {
    const float negated = block.maximum[e] == -INFINITY ? 0.f : -block.maximum[e];
    float even = 0.f, odd = 0.f;
#pragma unroll
    for (int j = 0; j < 8; j++) {
      s[j][2 * e] = ptx::exp2Fast(fmaf(s[j][2 * e], scale, negated));
      s[j][2 * e + 1] = ptx::exp2Fast(fmaf(s[j][2 * e + 1], scale, negated));
      even += s[j][2 * e], odd += s[j][2 * e + 1];
    }
    sums[e] = even + odd;
  }
}

template <class T>
__device__ __forceinline__ void packProbabilities(const float (&s)[8][4], uint32_t (&probability)[4][4]) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
    probability[k][0] = ptx::pack<T>(s[2 * k][0], s[2 * k][1]);
    probability[k][1] = ptx::pack<T>(s[2 * k][2], s[2 * k][3]);
    probability[k][2] = ptx::pack<T>(s[2 * k + 1][0], s[2 * k + 1][1]);
    probability[k][3] = ptx::pack<T>(s[2 * k + 1][2], s[2 * k + 1][3]);
  }
}

template <class T, int D>
__device__ __forceinline__ void scaleOutput(RowBlock<T, D>& block, const float (&factor)[2]) {
#pragma unroll
  for (int j = 0; j < D / 8; j++) {
    block.o[j][0] *= factor[0];
    block.o[j][1] *= factor[0];
    block.o[j][2] *= factor[1];
    block.o[j][3] *= factor[1];
  }
}

/**
 * All KV tiles of a piece: the first `mine` are visible to the warpgroup's rows. Tiles that reach beyond token `fenceFrom` may
 * have been written by threads, which the tensor cores see only behind a fence; the copy engine's they see without.
 * `barrier`: the warpgroup's own.
 */
template <class T, int D>
__device__ __forceinline__ void takeTallTiles(const AttentionParams& p, RowBlock<T, D>& block, RingReader<D>& reader, int barrier,
                                              int fenceFrom, int firstToken, int mine, int tiles, int lane) {
  const float scale = p.softCapLog2 > 0.f ? 1.f : p.scaleLog2;
  const auto isMasked = [&] { return firstToken + kTileTokens > block.commonHigh || firstToken < block.commonLow; };
  if (mine > 0) {
    float s[8][4], factor[2], sums[2];
    uint32_t probability[4][4], keyMatrix = reader.keyMatrix();
    reader.waitKeys();
    if (firstToken + kTileTokens > fenceFrom) ptx::fenceAsyncProxy();
    ptx::warpgroupFence();
    queueScores(block, s, keyMatrix);
    ptx::warpgroupWait<0>();
    reader.releaseKeys();
    bool hasReference = !isMasked();  // of every row of the warp: a masked tile may show none of its tokens to some
    capAndMask(p, block, s, !hasReference, firstToken, lane);
    followScores(block, s, factor, scale);  // o is 0: nothing to scale
    exponentiate(block, s, sums, scale);
    block.sum[0] += sums[0], block.sum[1] += sums[1];
    packProbabilities<T>(s, probability);
#pragma unroll 1
    for (int i = 1; i < mine; i++) {
      firstToken += kTileTokens;
      keyMatrix = reader.keyMatrix();
      const uint32_t valueMatrix = reader.valueMatrix();
      reader.waitKeys();
      reader.waitValues();
      if (firstToken + kTileTokens > fenceFrom) ptx::fenceAsyncProxy();
      ptx::warpgroupFence();
      queueScores(block, s, keyMatrix);
      queueValues(block, probability, valueMatrix);
      ptx::warpgroupWait<1>();
      const bool masked = isMasked();
      bool scaled = false;
      capAndMask(p, block, s, masked, firstToken, lane);
      if (masked || !hasReference) scaled = followScores(block, s, factor, scale);
      exponentiate(block, s, sums, scale);
      if (ptx::syncThreadsOr(barrier, kThreads, !(sums[0] <= kLargestSum && sums[1] <= kLargestSum))) {
        // The scores are gone: once more, with their maximum.
        ptx::warpgroupFence();
        queueScores(block, s, keyMatrix);
        ptx::warpgroupWait<0>();
        capAndMask(p, block, s, masked, firstToken, lane);
        if (followScores(block, s, factor, scale)) scaled = true;
        exponentiate(block, s, sums, scale);
      }
      hasReference = !masked;
      block.sum[0] += sums[0], block.sum[1] += sums[1];
      reader.releaseKeys();
      ptx::warpgroupWait<0>();
      reader.releaseValues();
      if (scaled) scaleOutput(block, factor);
      packProbabilities<T>(s, probability);
    }
    const uint32_t valueMatrix = reader.valueMatrix();
    reader.waitValues();
    if (firstToken + kTileTokens > fenceFrom) ptx::fenceAsyncProxy();
    ptx::warpgroupFence();
    queueValues(block, probability, valueMatrix);
    ptx::warpgroupWait<0>();
    reader.releaseValues();
  }
  reader.pass(tiles - mine);
}

#endif

}  // namespace isochron
