// What a piece leaves: its rows' output, or their partial states in its slot.
#pragma once
#include "awaited_rows.cuh"
#include "log_sum_exp.cuh"
#include "row_block.cuh"

namespace isochron {

/** A warp's states of its 16 rows, for the others of its four. */
template <class T, int D, class Shared>
__device__ __forceinline__ void shareStates(const Shared& shared, RowBlock<T, D>& block, int warp, int lane) {
  block.finishSums();
  const int g = lane >> 2;
  if ((lane & 3) == 0) {
    shared.states[warp * 16 + g] = make_float2(block.maximum[0], block.sum[0]);
    shared.states[warp * 16 + g + 8] = make_float2(block.maximum[1], block.sum[1]);
  }
}

/** A half of its rows, as far as there are some: columns are XORed by row, so that neither side has bank conflicts. */
template <class T, int D, class Shared>
__device__ __forceinline__ void shareRows(const Shared& shared, const RowBlock<T, D>& block, int half, int validRows, int warp, int lane) {
  const int g = lane >> 2, t = lane & 3;
  float* const mine = shared.combine + (warp * kCombineRows + g) * D;
  if (half * 8 + g >= validRows) return;
#pragma unroll
  for (int j = 0; j < D / 8; j++) {
    *reinterpret_cast<float2*>(mine + ((j * 8 + 2 * t) ^ ((g & 3) << 3))) = make_float2(block.o[j][2 * half], block.o[j][2 * half + 1]);
  }
}

/** Decode: the four warps hold states of the same rows over different tokens; combines and writes them. */
template <class T, int D, class Shared>
__device__ __forceinline__ void writeCombined(const AttentionParams& p, const Shared& shared, const PieceRecord& piece,
                                              int head, int slot, RowBlock<T, D>& block, int warp, int lane) {
  shareStates(shared, block, warp, lane);
#pragma unroll
  for (int half = 0; half < 2; half++) {
    if (half * 8 >= piece.validRows()) break;
    shareRows(shared, block, half, piece.validRows(), warp, lane);
    shared.sync();
    constexpr int quads = D / 4;
    for (int f = shared.thread(); f < kCombineRows * quads; f += kThreads) {
      const int r = f / quads, column = (f % quads) * 4, row = half * 8 + r;
      if (row >= piece.validRows()) break;
      float maximum = -INFINITY, sum = 0.f;
#pragma unroll
      for (int w = 0; w < kWarps; w++) maximum = fmaxf(maximum, shared.states[w * 16 + row].x);
      const float reference = maximum == -INFINITY ? 0.f : maximum;
      float4 total = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll
      for (int w = 0; w < kWarps; w++) {
        const float2 state = shared.states[w * 16 + row];
        const float factor = ptx::exp2Fast(state.x - reference);
        sum += factor * state.y;
        const float4 part =
            *reinterpret_cast<const float4*>(shared.combine + (w * kCombineRows + r) * D + (column ^ ((r & 3) << 3)));
        total.x += factor * part.x;
        total.y += factor * part.y;
        total.z += factor * part.z;
        total.w += factor * part.w;
      }
      if (slot >= 0 && piece.isAwaited()) {
        writeAwaited<D>(p, int64_t(piece.awaitedPlace()) * kAwaitedRows + row, column, total, make_float2(maximum, sum));
      } else if (slot >= 0) {
        const int64_t slotRow = int64_t(slot) * p.slotRows + row;
        __stcg(reinterpret_cast<float4*>(p.partialOutput + slotRow * D + column), total);
        if (column == 0) __stcg(p.partialState + slotRow, make_float2(maximum, sum));
      } else {
        const int64_t tokenHead = locateRow(p, piece, head, row).tokenHead;
        const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
        const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
        ptx::storeForNext(static_cast<T*>(p.output) + tokenHead * D + column,
                          make_uint2(ptx::pack<T>(total.x * inverse, total.y * inverse), ptx::pack<T>(total.z * inverse, total.w * inverse)));
        if (column == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
      }
    }
    shared.sync();
  }
}

/** Taller tiles: every warp writes its own 16 rows, [rowBase, rowBase + 16) of the piece. */
template <class T, int D>
__device__ __forceinline__ void writeRows(const AttentionParams& p, const PieceRecord& piece, int head, int slot,
                                          const float (&o)[D / 8][4], const float (&maxima)[2], const float (&sums)[2],
                                          int rowBase, int lane) {
  const int t = lane & 3;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = rowBase + (lane >> 2) + 8 * half;
    float maximum = maxima[half], sum = sums[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (row >= piece.validRows()) continue;
    if (slot >= 0) {
      const int64_t slotRow = int64_t(slot) * p.slotRows + row;
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        __stcg(reinterpret_cast<float2*>(p.partialOutput + slotRow * D + j * 8 + 2 * t),
               make_float2(o[j][2 * half], o[j][2 * half + 1]));
      }
      if (t == 0) __stcg(p.partialState + slotRow, make_float2(maximum, sum));
    } else {
      const int64_t tokenHead = locateRow(p, piece, head, row).tokenHead;
      const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
      const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
      uint32_t* target = reinterpret_cast<uint32_t*>(static_cast<T*>(p.output) + tokenHead * D) + t;
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        target[j * 4] = ptx::pack<T>(o[j][2 * half] * inverse, o[j][2 * half + 1] * inverse);
      }
      if (t == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
    }
  }
}

}  // namespace isochron
