// Query tiles of 64 and 128 rows on Hopper's warpgroup instructions.
//
// The CTA is one warpgroup. Query rows lie in shared memory (32 KiB at head dimension 128, in the place where decode combines
// its warps); a tile of 128 rows is two halves of 64, one after the other; while one CTA's softmax runs, the
// products of the SM's second CTA keep the tensor cores busy. S = Q·Kᵀ from shared memory, P stays in registers as the
// left operand of O += P·V. 4 · rows · 64 · D flops for 2 · 64 · D · 2 bytes: 128 flops a byte of L2 traffic at 128 rows.
#pragma once
#include "params.h"
#include "ptx.cuh"
#include "warpgroup.cuh"

namespace isochron {

#if ISOCHRON_WARPGROUP

/** Softmax state of 128 query rows: in each half of 64, warp w owns rows [16w, 16w + 16). */
template <class T, int D, int kHalves>
struct TallBlock {
  float o[kHalves][D / 8][4];
  float maximum[kHalves][2], sum[kHalves][2];
  int low[kHalves][2], high[kHalves][2];           // visible KV tokens [low, high) of this lane's rows
  int commonLow[kHalves], commonHigh[kHalves];     // visible to all 16 rows of the warp
  int anyHigh[kHalves];                      // nothing at or past it is visible to any row of the half

  static constexpr int kPlaneBytes = kHalves * 64 * 128;  // 64 elements of all query rows
  static constexpr int kWarpRows = kHalves * 16;

  /** Copies the query rows to shared memory and finds out what they see. Ends without a barrier. */
  __device__ __forceinline__ void begin(const AttentionParams& p, const PieceRecord& piece, int head, uint32_t query,
                                        int warp, int lane) {
    const int mine = warp * kWarpRows + lane, valid = piece.validRows();
    const int64_t tokenHead = lane < kWarpRows && mine < valid ? locateRow(p, piece, head, mine).tokenHead : -1;
    constexpr int unitsPerRow = D / 8, rowsPerStep = 32 / unitsPerRow;
    const int unit = lane % unitsPerRow;
    uint4 data[kWarpRows / rowsPerStep];
#pragma unroll
    for (int step = 0; step < kWarpRows / rowsPerStep; step++) {
      const int64_t from = __shfl_sync(0xffffffffu, tokenHead, step * rowsPerStep + lane / unitsPerRow);
      data[step] = make_uint4(0, 0, 0, 0);
      if (from >= 0) data[step] = *(reinterpret_cast<const uint4*>(static_cast<const T*>(p.query) + from * D) + unit);
    }
#pragma unroll
    for (int step = 0; step < kWarpRows / rowsPerStep; step++) {
      const int inWarp = step * rowsPerStep + lane / unitsPerRow, row = warp * kWarpRows + inWarp;
      ptx::storeShared16(query + (unit >> 3) * kPlaneBytes + row * 128 + (((unit & 7) ^ (row & 7)) << 4), data[step]);
    }
    ptx::fenceAsyncProxy();
#pragma unroll
    for (int half = 0; half < kHalves; half++) {
      maximum[half][0] = maximum[half][1] = -INFINITY;
      sum[half][0] = sum[half][1] = 0.f;
#pragma unroll
      for (int j = 0; j < D / 8; j++) o[half][j][0] = o[half][j][1] = o[half][j][2] = o[half][j][3] = 0.f;
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int row = half * 64 + warp * 16 + (lane >> 2) + 8 * e;
        low[half][e] = 0;
        high[half][e] = piece.kvEnd;
        if (row < valid) {
          const int position = locateRow(p, piece, head, row).position;
          if (p.causal) high[half][e] = min(piece.kvEnd, position + 1);
          if (p.window > 0) low[half][e] = max(0, position - p.window + 1);
        }
      }
      commonLow[half] = __reduce_max_sync(0xffffffffu, max(low[half][0], low[half][1]));
      commonHigh[half] = __reduce_min_sync(0xffffffffu, min(high[half][0], high[half][1]));
      // Positions rise with rows, so the half's last row sees furthest.
      anyHigh[half] = 0;
      if (valid > half * 64) {
        anyHigh[half] = piece.kvEnd;
        if (p.causal) anyHigh[half] = min(piece.kvEnd, locateRow(p, piece, head, min(valid, half * 64 + 64) - 1).position + 1);
      }
    }
  }

  /** Takes in the 64 KV tokens of a stage. */
  __device__ __forceinline__ void takeTile(const AttentionParams& p, uint32_t query, uint32_t stage, int firstToken, int lane) {
#pragma unroll
    for (int half = 0; half < kHalves; half++) {
      if (firstToken >= anyHigh[half]) continue;
      float s[8][4];
      ptx::warpgroupFence();
#pragma unroll
      for (int k = 0; k < D / 16; k++) {
        const uint32_t column = (k & 3) * 32;
        const uint64_t a = ptx::matrixDescriptor(query + (k >> 2) * kPlaneBytes + half * 8192 + column, 16, 1024);
        const uint64_t b = ptx::matrixDescriptor(stage + (k >> 2) * Shape<D>::planeBytes + column, 16, 1024);
        ptx::Warpgroup<T>::multiplyShared(s, a, b, k > 0);
      }
      ptx::warpgroupCommit();
      ptx::warpgroupWait<0>();
      softmax(p, s, half, firstToken, lane);
      uint32_t probability[4][4];
#pragma unroll
      for (int k = 0; k < 4; k++) {
        probability[k][0] = ptx::pack<T>(s[2 * k][0], s[2 * k][1]);
        probability[k][1] = ptx::pack<T>(s[2 * k][2], s[2 * k][3]);
        probability[k][2] = ptx::pack<T>(s[2 * k + 1][0], s[2 * k + 1][1]);
        probability[k][3] = ptx::pack<T>(s[2 * k + 1][2], s[2 * k + 1][3]);
      }
      ptx::warpgroupFence();
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const uint64_t b = ptx::matrixDescriptor(stage + Shape<D>::tensorBytes + k * 2048, Shape<D>::planeBytes, 1024);
        ptx::Warpgroup<T>::multiplyAdd(o[half], probability[k], b);
      }
      ptx::warpgroupCommit();
      ptx::warpgroupWait<0>();
    }
  }

  __device__ __forceinline__ void softmax(const AttentionParams& p, float (&s)[8][4], int half, int firstToken, int lane) {
    const bool masked = firstToken + kTileTokens > commonHigh[half] || firstToken < commonLow[half];
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
          if (token >= high[half][e >> 1] || token < low[half][e >> 1]) s[j][e] = -INFINITY;
        }
      }
    }
    const float scale = p.softCapLog2 > 0.f ? 1.f : p.scaleLog2;
    bool grew = false;
    float previous[2], negated[2];
#pragma unroll
    for (int e = 0; e < 2; e++) {
      float m = -INFINITY;
#pragma unroll
      for (int j = 0; j < 8; j++) m = fmaxf(m, fmaxf(s[j][2 * e], s[j][2 * e + 1]));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2)) * scale;
      previous[e] = maximum[half][e];
      grew |= m > previous[e];
      maximum[half][e] = fmaxf(previous[e], m);
      negated[e] = maximum[half][e] == -INFINITY ? 0.f : -maximum[half][e];
    }
    if (__any_sync(0xffffffffu, grew)) {
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const float factor = ptx::exp2Fast(previous[e] + negated[e]);
        sum[half][e] *= factor;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
          o[half][j][2 * e] *= factor;
          o[half][j][2 * e + 1] *= factor;
        }
      }
    }
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[j][e] = ptx::exp2Fast(fmaf(s[j][e], scale, negated[e >> 1]));
        sum[half][e >> 1] += s[j][e];
      }
    }
  }

  /** Writes the valid rows: output, or partial states where there is a slot. */
  __device__ __forceinline__ void write(const AttentionParams& p, const PieceRecord& piece, int head, int slot, int warp, int lane) {
#pragma unroll
    for (int half = 0; half < kHalves; half++) {
      writeRows<T, D>(p, piece, head, slot, o[half], maximum[half], sum[half], half * 64 + warp * 16, lane);
    }
  }
};

/** One piece, all tiles; returns the ring stage after it. `next` (null at the end) is what its query rows are fetched for. */
template <class T, int D, bool kTimed>
__device__ __forceinline__ int runTallPiece(const AttentionParams& p, const SharedMemory& shared, const RecordTable& records,
                                         LoadCursor<D>& cursor, const PieceRecord& piece, int head, int slot,
                                         const PieceRecord* next, int nextHead, int stage,
                                         uint64_t policy, uint32_t startCycle, uint32_t (&cycles)[4]) {
  constexpr int stages = Shape<D>::stages, lookahead = Shape<D>::lookahead;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const uint32_t ring = shared.ring, query = ring + stages * Shape<D>::stageBytes;
  const int kvStart = piece.kvStart, kvEnd = piece.kvEnd;
  TallBlock<T, D, kTallHalves> block;
  block.begin(p, piece, head, query, warp, lane);
  if (next != nullptr && int(threadIdx.x) < next->validRows()) {
    const char* row = static_cast<const char*>(p.query) + locateRow(p, *next, nextHead, threadIdx.x).tokenHead * (D * 2);
#pragma unroll
    for (int byte = 0; byte < D * 2; byte += 128) ptx::prefetchL2(row + byte);
  }
#pragma unroll 1
  for (int token = kvStart; token < kvEnd; token += kTileTokens) {
    ptx::copyAsyncWait<lookahead - 1>();
    ptx::fenceAsyncProxy();
    __syncthreads();
    const int refill = stage + lookahead < stages ? stage + lookahead : stage + lookahead - stages;
    cursor.issue(p, records, ring, refill, warp, lane, policy, policy);
    if constexpr (kTimed) {
      if (token == kvStart) cycles[0] = clock() - startCycle;
    }
    block.takeTile(p, query, ring + stage * Shape<D>::stageBytes, token, lane);
    stage = stage == stages - 1 ? 0 : stage + 1;
  }
  if constexpr (kTimed) cycles[1] = clock() - startCycle;
  block.write(p, piece, head, slot, warp, lane);
  __syncthreads();
  return stage;
}

#endif

}  // namespace isochron
