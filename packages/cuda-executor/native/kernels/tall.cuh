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

#if ISOCHRON_WARPGROUP

/** The consumers' side of the ring. All 8 warps pass every tile in order. */
template <int D>
struct RingReader {
  static constexpr int stages = D == 64 ? 8 : 5;
  uint32_t ring, full, empty;  // addresses; barriers of 8 bytes for each stage
  int stage;
  uint32_t parity;

  __device__ __forceinline__ uint32_t address() const { return ring + stage * Shape<D>::stageBytes; }
  __device__ __forceinline__ void waitFull() const { ptx::barrierWait(full + stage * 8, parity); }
  /** This warp has read the stage. */
  __device__ __forceinline__ void release(int ofStage, int lane) const {
    if (lane == 0) ptx::barrierArrive(empty + ofStage * 8);
  }
  __device__ __forceinline__ void advance() {
    if (++stage == stages) stage = 0, parity ^= 1;
  }
  /** Lets `tiles` tiles pass that concern only others. */
  __device__ __forceinline__ void pass(int tiles, int lane) {
#pragma unroll 1
    for (int i = 0; i < tiles; i++, advance()) {
      waitFull();
      __syncwarp();
      release(stage, lane);
    }
  }
};

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
      reader.release(previous, lane);
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
    reader.release(reader.stage, lane);
    reader.advance();
  }
  reader.pass(tiles - mine, lane);
}

#endif

}  // namespace isochron
