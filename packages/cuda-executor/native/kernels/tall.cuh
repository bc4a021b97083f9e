// Query tiles of up to 128 rows on Hopper's warpgroup instructions: what one of two consumer warpgroups does with a piece.
//
// Warpgroup g owns rows [64g, 64g + 64); both read the same KV tiles from the ring, so a tile crosses from L2 once for 128
// rows: 128 flops a byte. Queries and probabilities stay in registers as left operands. The products of tile j + 1 with
// the keys and of tile j with the values are queued together, and the softmax of tile j + 1 runs while the latter go on:
//   S(j+1) = Q·K(j+1)ᵀ, O += P(j)·V(j)  →  wait for S  →  softmax  →  wait for O, scale it, P(j+1).
#pragma once
#include "mbarrier.cuh"
#include "params.h"
#include "ptx.cuh"
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
  static constexpr int combineBytes = kWarps * kCombineRows * D * 4;  // of one warpgroup
  static constexpr int recordBytes = kTallNearbyRecords * int(sizeof(PieceRecord));
  static constexpr int sharedBytes = ringBytes + 2 * combineBytes + 2 * Shape<D>::stateBytes + recordBytes;
};

#if ISOCHRON_WARPGROUP

/** The consumers' side of the ring. All 8 warps pass every tile in order. */
template <int D>
struct RingReader {
  static constexpr int stages = TallShape<D>::stages;
  uint32_t ring, full, empty;  // addresses; barriers of 8 bytes for each stage
  int stage;
  uint32_t parity;

  __device__ __forceinline__ uint32_t address() const { return ring + stage * Shape<D>::stageBytes; }
  __device__ __forceinline__ void waitFull() const { ptx::barrierWait(full + stage * 8, parity); }
  /** This thread has read the stage. Each says so for itself: racecheck does not follow one lane that speaks for its warp. */
  __device__ __forceinline__ void release(int ofStage) const { ptx::barrierArrive(empty + ofStage * 8); }
  __device__ __forceinline__ void advance() {
    if (++stage == stages) stage = 0, parity ^= 1;
  }
  /** Lets `tiles` tiles pass that concern only others. */
  __device__ __forceinline__ void pass(int tiles) {
#pragma unroll 1
    for (int i = 0; i < tiles; i++, advance()) {
      waitFull();
      release(stage);
    }
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

/**
 * As RowBlock::loadQuery, with loads of 16 bytes: a lane loads every fourth unit of its rows. The registers of `q` hold them
 * as they come, so that nothing waits; arrangeTallQuery puts them in order before their first use.
 */
template <class T, int D>
__device__ __forceinline__ void loadTallQuery(const AttentionParams& p, const PieceRecord& piece, int head, int rowBase, int lane,
                                              RowBlock<T, D>& block) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = rowBase + (lane >> 2) + 8 * half;
    const bool valid = row < piece.validRows();
    block.low[half] = 0;
    block.high[half] = piece.kvEnd;
    const uint4* source = nullptr;
    if (valid) {
      const RowAddress at = locateRow(p, piece, head, row);
      source = reinterpret_cast<const uint4*>(static_cast<const T*>(p.query) + at.tokenHead * D) + (lane & 3);
      if (p.causal) block.high[half] = min(piece.kvEnd, at.position + 1);
      if (p.window > 0) block.low[half] = max(0, at.position - p.window + 1);
    }
#pragma unroll
    for (int i = 0; i < D / 32; i++) {
      uint4 unit = make_uint4(0, 0, 0, 0);
      if (valid) unit = source[i * 4];
      block.q[2 * i][half] = unit.x;
      block.q[2 * i][half + 2] = unit.y;
      block.q[2 * i + 1][half] = unit.z;
      block.q[2 * i + 1][half + 2] = unit.w;
    }
  }
  block.commonLow = __reduce_max_sync(0xffffffffu, max(block.low[0], block.low[1]));
  block.commonHigh = __reduce_min_sync(0xffffffffu, min(block.high[0], block.high[1]));
}

/** Trades the words of a quad's units, which leaves the left operands of m64k16. */
template <class T, int D>
__device__ __forceinline__ void arrangeTallQuery(RowBlock<T, D>& block, int lane) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
#pragma unroll
    for (int i = 0; i < D / 32; i++) {
      uint32_t words[4] = {block.q[2 * i][half], block.q[2 * i][half + 2], block.q[2 * i + 1][half], block.q[2 * i + 1][half + 2]};
      transposeQuad(words, lane);
      block.q[2 * i][half] = words[0];
      block.q[2 * i][half + 2] = words[1];
      block.q[2 * i + 1][half] = words[2];
      block.q[2 * i + 1][half + 2] = words[3];
    }
  }
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

/** s = Q·Kᵀ of the 64 tokens of a stage; queued, not awaited. */
template <class T, int D>
__device__ __forceinline__ void queueScores(const RowBlock<T, D>& block, float (&s)[8][4], uint32_t stage) {
#pragma unroll
  for (int k = 0; k < D / 16; k++) {
    const uint64_t keys = ptx::matrixDescriptor(stage + (k >> 2) * Shape<D>::planeBytes + (k & 3) * 32, 16, 1024);
    ptx::Warpgroup<T>::multiplyTransposed(s, block.q[k], keys, k > 0);
  }
  ptx::warpgroupCommit();
}

/** o += P·V of the 64 tokens of a stage; queued, not awaited. */
template <class T, int D>
__device__ __forceinline__ void queueValues(RowBlock<T, D>& block, const uint32_t (&probability)[4][4], uint32_t stage) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
    const uint64_t values = ptx::matrixDescriptor(stage + Shape<D>::tensorBytes + k * 2048, Shape<D>::planeBytes, 1024);
    ptx::Warpgroup<T>::multiplyAdd(block.o, probability[k], values);
  }
  ptx::warpgroupCommit();
}

/** Turns scores into exponentials and moves maximum and sum on. Returns whether `o` has to be scaled by `factor`. */
template <class T, int D>
__device__ __forceinline__ bool softmaxTile(const AttentionParams& p, RowBlock<T, D>& block, float (&s)[8][4], float (&factor)[2],
                                            int firstToken, int lane) {
  const bool masked = firstToken + kTileTokens > block.commonHigh || firstToken < block.commonLow;
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
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int token = firstToken + j * 8 + (lane & 3) * 2 + (e & 1);
        if (token >= block.high[e >> 1] || token < block.low[e >> 1]) s[j][e] = -INFINITY;
      }
    }
  }
  const float scale = p.softCapLog2 > 0.f ? 1.f : p.scaleLog2;
  bool grew = false;
  float negated[2];
#pragma unroll
  for (int e = 0; e < 2; e++) {
    float m = fmaxf(s[0][2 * e], s[0][2 * e + 1]), n = fmaxf(s[1][2 * e], s[1][2 * e + 1]);
#pragma unroll
    for (int j = 2; j < 8; j += 2) {
      m = fmaxf(m, fmaxf(s[j][2 * e], s[j][2 * e + 1]));
      n = fmaxf(n, fmaxf(s[j + 1][2 * e], s[j + 1][2 * e + 1]));
    }
    m = fmaxf(m, n);
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2)) * scale;
    const float previous = block.maximum[e];
    grew |= m > previous;
    block.maximum[e] = fmaxf(previous, m);
    negated[e] = block.maximum[e] == -INFINITY ? 0.f : -block.maximum[e];
    factor[e] = ptx::exp2Fast(previous + negated[e]);
    block.sum[e] *= factor[e];
  }
#pragma unroll
  for (int j = 0; j < 8; j++) {
#pragma unroll
    for (int e = 0; e < 4; e++) s[j][e] = ptx::exp2Fast(fmaf(s[j][e], scale, negated[e >> 1]));
  }
#pragma unroll
  for (int e = 0; e < 2; e++) {
    float even = 0.f, odd = 0.f;
#pragma unroll
    for (int j = 0; j < 8; j++) even += s[j][2 * e], odd += s[j][2 * e + 1];
    block.sum[e] += even + odd;
  }
  return __any_sync(0xffffffffu, grew);
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

/** All KV tiles of a piece: the first `mine` are visible to the warpgroup's rows. */
template <class T, int D>
__device__ __forceinline__ void takeTallTiles(const AttentionParams& p, RowBlock<T, D>& block, RingReader<D>& reader, int firstToken,
                                              int mine, int tiles, int lane) {
  if (mine > 0) {
    float s[8][4], factor[2];
    uint32_t probability[4][4];
    reader.waitFull();
    ptx::fenceAsyncProxy();
    ptx::warpgroupFence();
    queueScores(block, s, reader.address());
    ptx::warpgroupWait<0>();
    softmaxTile(p, block, s, factor, firstToken, lane);
    packProbabilities<T>(s, probability);
#pragma unroll 1
    for (int i = 1; i < mine; i++) {
      const int previous = reader.stage;
      const uint32_t values = reader.address();
      reader.advance();
      firstToken += kTileTokens;
      reader.waitFull();
      ptx::fenceAsyncProxy();
      ptx::warpgroupFence();
      queueScores(block, s, reader.address());
      queueValues(block, probability, values);
      ptx::warpgroupWait<1>();
      const bool grew = softmaxTile(p, block, s, factor, firstToken, lane);
      ptx::warpgroupWait<0>();
      reader.release(previous);
      if (grew) {
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
          block.o[j][0] *= factor[0];
          block.o[j][1] *= factor[0];
          block.o[j][2] *= factor[1];
          block.o[j][3] *= factor[1];
        }
      }
      packProbabilities<T>(s, probability);
    }
    ptx::warpgroupFence();
    queueValues(block, probability, reader.address());
    ptx::warpgroupWait<0>();
    reader.release(reader.stage);
    reader.advance();
  }
  reader.pass(tiles - mine);
}

#endif

}  // namespace isochron
