// How the rows of a merge unit combine their sources: in the plan's order, whoever does it, so that the result is bitwise the
// same from run to run.
//
// One warp takes a row, 16 partial rows with their states at a time; rows of many sources spread them over the warps.
#pragma once
#include "log_sum_exp.cuh"
#include "query_rows.cuh"
#include "shape.cuh"

namespace isochron {

template <int D>
struct LaneRow {
  /** Elements [lane × D / 32, …) of one row. */
  float v[D / 32];
  __device__ __forceinline__ void load(const float* row, int lane) {
    const float* source = row + lane * (D / 32);
    if constexpr (D == 64) {
      const float2 x = __ldcg(reinterpret_cast<const float2*>(source));
      v[0] = x.x, v[1] = x.y;
    } else {
#pragma unroll
      for (int i = 0; i < D / 128; i++) {
        const float4 x = __ldcg(reinterpret_cast<const float4*>(source) + i);
        v[4 * i] = x.x, v[4 * i + 1] = x.y, v[4 * i + 2] = x.z, v[4 * i + 3] = x.w;
      }
    }
  }
};

/**
 * Sources part, part + parts, … of `sources`; source s is partial row `rowOf(s)`. Leaves Σ weight × O in `total` and
 * Σ weight × sum in `sum`, weights relative to `maximum`, the largest of these sources. Loads are never conditional (past
 * the end they repeat the last source, with weight 0), so that states and rows travel together: one trip to L2 for 16.
 */
template <int D, class RowOf>
__device__ __forceinline__ void gatherRow(const AttentionParams& p, int sources, int part, int parts, int lane, RowOf&& rowOf,
                                          LaneRow<D>& total, float& maximum, float& sum) {
  constexpr int depth = D == 256 ? 8 : 16;
  maximum = -INFINITY;
  sum = 0.f;
#pragma unroll
  for (int i = 0; i < D / 32; i++) total.v[i] = 0.f;
#pragma unroll 1
  for (int base = part; base < sources; base += depth * parts) {
    const int source = base + min(lane & (depth - 1), (sources - 1 - base) / parts) * parts;
    const int index = rowOf(source);
    float2 state = __ldcg(p.partialState + index);
    LaneRow<D> rows[depth];
#pragma unroll
    for (int i = 0; i < depth; i++) {
      rows[i].load(p.partialOutput + int64_t(__shfl_sync(0xffffffffu, index, i)) * D, lane);
    }
    if (base + (lane & (depth - 1)) * parts >= sources) state = make_float2(-INFINITY, 0.f);
    float joint = state.x;
#pragma unroll
    for (int d = depth / 2; d > 0; d >>= 1) joint = fmaxf(joint, __shfl_xor_sync(0xffffffffu, joint, d));
    joint = fmaxf(joint, maximum);
    const float reference = joint == -INFINITY ? 0.f : joint;
    const float weight = ptx::exp2Fast(state.x - reference);
    float gained = weight * state.y;
#pragma unroll
    for (int d = depth / 2; d > 0; d >>= 1) gained += __shfl_xor_sync(0xffffffffu, gained, d);
    const float factor = ptx::exp2Fast(maximum - reference);
    sum = sum * factor + gained;
    maximum = joint;
#pragma unroll
    for (int e = 0; e < D / 32; e++) total.v[e] *= factor;
#pragma unroll
    for (int i = 0; i < depth; i++) {
      const float w = __shfl_sync(0xffffffffu, weight, i);
#pragma unroll
      for (int e = 0; e < D / 32; e++) total.v[e] += w * rows[i].v[e];
    }
  }
}

/** Four columns of a merged row, from `column` on; with the first, its LSE. */
template <class T, int D>
__device__ __forceinline__ void writeColumns(const AttentionParams& p, int queryStart, int head, int packedRow, int column,
                                             const float4& total, float maximum, float sum) {
  const int token = tokenOf(p, packedRow);
  const int64_t tokenHead =
      int64_t(queryStart + token) * p.queryHeads + head * p.packedHeads + (packedRow - token * p.packedHeads);
  const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
  const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
  *reinterpret_cast<uint2*>(static_cast<T*>(p.output) + tokenHead * D + column) =
      make_uint2(ptx::pack<T>(total.x * inverse, total.y * inverse), ptx::pack<T>(total.z * inverse, total.w * inverse));
  if (column == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
}

template <class T, int D>
__device__ __forceinline__ void writeMerged(const AttentionParams& p, int queryStart, int head, int packedRow, int lane,
                                            const LaneRow<D>& total, float maximum, float sum) {
  const int token = tokenOf(p, packedRow);
  const int64_t tokenHead =
      int64_t(queryStart + token) * p.queryHeads + head * p.packedHeads + (packedRow - token * p.packedHeads);
  const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
  const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
  uint32_t* target = reinterpret_cast<uint32_t*>(static_cast<T*>(p.output) + tokenHead * D) + lane * (D / 64);
  if constexpr (D == 64) {
    target[0] = ptx::pack<T>(total.v[0] * inverse, total.v[1] * inverse);
  } else {
#pragma unroll
    for (int i = 0; i < D / 128; i++) {
      ptx::storeForNext(reinterpret_cast<uint2*>(target) + i, make_uint2(ptx::pack<T>(total.v[4 * i] * inverse, total.v[4 * i + 1] * inverse),
                                                                         ptx::pack<T>(total.v[4 * i + 2] * inverse, total.v[4 * i + 3] * inverse)));
    }
  }
  if (lane == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
}

/** Merges `rowCount` rows of a head; source s of row r is partial row `rowOf(s, r)`. */
template <class T, int D, class Shared, class RowOf>
__device__ __forceinline__ void mergeRows(const AttentionParams& p, const Shared& shared, int queryStart, int head,
                                          int rowStart, int rowCount, int sources, int warp, int lane, RowOf&& rowOf) {
  // A row to a warp; or, where that leaves warps idle, all warps to a row.
  const bool spread = rowCount < 3 && sources >= kWarps;
  const int parts = spread ? kWarps : 1;
#pragma unroll 1
  for (int row = spread ? 0 : warp; row < rowCount; row += spread ? 1 : kWarps) {
    LaneRow<D> total;
    float maximum, sum;
    gatherRow<D>(p, sources, spread ? warp : 0, parts, lane, [&](int s) { return rowOf(s, row); }, total, maximum, sum);
    if (spread) {
      float* mine = shared.combine + warp * D + lane * (D / 32);
#pragma unroll
      for (int i = 0; i < D / 32; i++) mine[i] = total.v[i];
      if (lane == 0) shared.states[warp] = make_float2(maximum, sum);
      shared.sync();
      if (warp == 0) {
        for (int w = 1; w < kWarps; w++) {
          const float2 state = shared.states[w];
          const float joint = fmaxf(maximum, state.x), reference = joint == -INFINITY ? 0.f : joint;
          const float factor = ptx::exp2Fast(maximum - reference), other = ptx::exp2Fast(state.x - reference);
          const float* part = shared.combine + w * D + lane * (D / 32);
          sum = factor * sum + other * state.y;
#pragma unroll
          for (int i = 0; i < D / 32; i++) total.v[i] = factor * total.v[i] + other * part[i];
          maximum = joint;
        }
      }
    }
    if (!spread || warp == 0) writeMerged<T, D>(p, queryStart, head, rowStart + row, lane, total, maximum, sum);
    if (spread) shared.sync();
  }
}

/**
 * Merges a slice of one row, D / 4 of its columns: each warp takes 16 × 32 / (D / 16) consecutive sources at a time, 16 bytes
 * of a source to a lane.
 */
template <class T, int D, class Shared, class RowOf>
__device__ __forceinline__ void mergeSlice(const AttentionParams& p, const Shared& shared, int queryStart, int head, int packedRow,
                                           int slice, int sources, int warp, int lane, RowOf&& rowOf) {
  constexpr int lanes = D / 16, atOnce = 32 / lanes, depth = 16, block = depth * atOnce, statesOfLane = block / 32;
  const int column = slice * (D / 4) + (lane % lanes) * 4;
  float4 total = make_float4(0.f, 0.f, 0.f, 0.f);
  float maximum = -INFINITY, sum = 0.f;
#pragma unroll 1
  for (int base = warp * block; base < sources; base += kWarps * block) {
    int index[statesOfLane];
    float2 state[statesOfLane];
#pragma unroll
    for (int k = 0; k < statesOfLane; k++) {
      index[k] = rowOf(min(base + k * 32 + lane, sources - 1));
      state[k] = __ldcg(p.partialState + index[k]);
    }
    float4 rows[depth];
#pragma unroll
    for (int i = 0; i < depth; i++) {
      const int at = __shfl_sync(0xffffffffu, index[i * atOnce / 32], (i * atOnce & 31) + lane / lanes);
      rows[i] = __ldcg(reinterpret_cast<const float4*>(p.partialOutput + int64_t(at) * D + column));
    }
    float joint = maximum;
#pragma unroll
    for (int k = 0; k < statesOfLane; k++) {
      if (base + k * 32 + lane >= sources) state[k] = make_float2(-INFINITY, 0.f);
      joint = fmaxf(joint, state[k].x);
    }
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) joint = fmaxf(joint, __shfl_xor_sync(0xffffffffu, joint, d));
    const float reference = joint == -INFINITY ? 0.f : joint;
    float weight[statesOfLane], gained = 0.f;
#pragma unroll
    for (int k = 0; k < statesOfLane; k++) {
      weight[k] = ptx::exp2Fast(state[k].x - reference);
      gained += weight[k] * state[k].y;
    }
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) gained += __shfl_xor_sync(0xffffffffu, gained, d);
    const float factor = ptx::exp2Fast(maximum - reference);
    sum = sum * factor + gained;
    maximum = joint;
    total = make_float4(total.x * factor, total.y * factor, total.z * factor, total.w * factor);
#pragma unroll
    for (int i = 0; i < depth; i++) {
      const float w = __shfl_sync(0xffffffffu, weight[i * atOnce / 32], (i * atOnce & 31) + lane / lanes);
      total.x += w * rows[i].x;
      total.y += w * rows[i].y;
      total.z += w * rows[i].z;
      total.w += w * rows[i].w;
    }
  }
#pragma unroll
  for (int d = lanes; d < 32; d <<= 1) {
    total.x += __shfl_xor_sync(0xffffffffu, total.x, d);
    total.y += __shfl_xor_sync(0xffffffffu, total.y, d);
    total.z += __shfl_xor_sync(0xffffffffu, total.z, d);
    total.w += __shfl_xor_sync(0xffffffffu, total.w, d);
  }
  if (lane < lanes) reinterpret_cast<float4*>(shared.combine)[warp * lanes + lane] = total;
  if (lane == 0) shared.states[warp] = make_float2(maximum, sum);
  shared.sync();
  if (warp == 0 && lane < lanes) {
    for (int w = 1; w < kWarps; w++) {
      const float2 state = shared.states[w];
      const float joint = fmaxf(maximum, state.x), reference = joint == -INFINITY ? 0.f : joint;
      const float factor = ptx::exp2Fast(maximum - reference), other = ptx::exp2Fast(state.x - reference);
      const float4 part = reinterpret_cast<const float4*>(shared.combine)[w * lanes + lane];
      sum = factor * sum + other * state.y;
      total = make_float4(factor * total.x + other * part.x, factor * total.y + other * part.y, factor * total.z + other * part.z,
                          factor * total.w + other * part.w);
      maximum = joint;
    }
    writeColumns<T, D>(p, queryStart, head, packedRow, column, total, maximum, sum);
  }
  shared.sync();
}

/**
 * As mergeRows, for many rows of at most `width` (2, 4 or 8) sources: a warp takes 16 / width rows at a time, so that 16 partial
 * rows travel together however few sources a row has.
 */
template <class T, int D, int width = 4, class RowOf>
__device__ __forceinline__ void mergeManyRows(const AttentionParams& p, int queryStart, int head, int rowStart, int rowCount,
                                              int sources, int warp, int lane, RowOf&& rowOf) {
  constexpr int rowsAtOnce = (D == 256 ? 8 : 16) / width;
#pragma unroll 1
  for (int base = warp * rowsAtOnce; base < rowCount; base += kWarps * rowsAtOnce) {
    const int myRow = min(base + ((lane / width) & (rowsAtOnce - 1)), rowCount - 1), mySource = lane & (width - 1);
    const int index = rowOf(min(mySource, sources - 1), myRow);
    float2 state = __ldcg(p.partialState + index);
    LaneRow<D> rows[rowsAtOnce * width];
#pragma unroll
    for (int i = 0; i < rowsAtOnce * width; i++) {
      rows[i].load(p.partialOutput + int64_t(__shfl_sync(0xffffffffu, index, i)) * D, lane);
    }
    if (mySource >= sources) state = make_float2(-INFINITY, 0.f);
    float maximum = state.x;
#pragma unroll
    for (int d = 1; d < width; d <<= 1) maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, d));
    const float weight = ptx::exp2Fast(state.x - (maximum == -INFINITY ? 0.f : maximum));
    float sum = weight * state.y;
#pragma unroll
    for (int d = 1; d < width; d <<= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
#pragma unroll
    for (int r = 0; r < rowsAtOnce; r++) {
      LaneRow<D> total;
#pragma unroll
      for (int e = 0; e < D / 32; e++) total.v[e] = 0.f;
#pragma unroll
      for (int s = 0; s < width; s++) {
        const float w = __shfl_sync(0xffffffffu, weight, r * width + s);
#pragma unroll
        for (int e = 0; e < D / 32; e++) total.v[e] += w * rows[r * width + s].v[e];
      }
      const float rowMaximum = __shfl_sync(0xffffffffu, maximum, r * width), rowSum = __shfl_sync(0xffffffffu, sum, r * width);
      if (base + r < rowCount) writeMerged<T, D>(p, queryStart, head, rowStart + base + r, lane, total, rowMaximum, rowSum);
    }
  }
}

}  // namespace isochron
