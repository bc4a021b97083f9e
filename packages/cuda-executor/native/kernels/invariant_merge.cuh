// Finishing canonical trees: what a worker of a batch-invariant launch does with a merge unit whose slots are counted (merge_units.cuh
// hands them out; rows that are waited for: awaited_rows.cuh).
//
// Sources that are leaves of a small perfect tree (MergeUnit::leaves) are folded level by level in registers: a lane for each leaf's
// state, and partial rows side by side. A missing leaf is (−∞, 0) with elements −0, which changes no bit of its sibling. Other trees
// are folded along the list of their sources with a stack. Up to 16 leaves a warp takes rows of its own, else a quarter of a row's
// columns.
#pragma once
#include "../canonical_units.h"
#include "attention.cuh"
#include "canonical_arithmetic.cuh"

namespace isochron {

/** What warps share in launches whose merges are canonical trees: mergeUnits then calls mergeUnit below. */
template <class Base>
struct Canonical : Base {
  static constexpr bool mergesTrees = true;
  float* nodes;  // [warp][kStackEntries − kCombineRows][D], where the worker's own nodes have been; may be null
};

/** The elements of a row that a lane holds: of all columns, or of the quarter `part`. Lanes beyond them repeat the first. */
template <int D, bool kQuarter>
struct LaneColumns {
  static constexpr int columns = kQuarter ? D / 4 : D, each = columns < 32 ? 1 : columns / 32, lanes = columns / each;
  float v[each];

  static __device__ __forceinline__ int first(int part, int lane) { return (kQuarter ? part * columns : 0) + (lane % lanes) * each; }
  __device__ __forceinline__ void load(const float* row, int part, int lane) {
    const float* from = row + first(part, lane);
    if constexpr (each == 1) {
      v[0] = __ldcg(from);
    } else if constexpr (each == 2) {
      const float2 x = __ldcg(reinterpret_cast<const float2*>(from));
      v[0] = x.x, v[1] = x.y;
    } else {
#pragma unroll
      for (int i = 0; i < each; i += 4) {
        const float4 x = __ldcg(reinterpret_cast<const float4*>(from + i));
        v[i] = x.x, v[i + 1] = x.y, v[i + 2] = x.z, v[i + 3] = x.w;
      }
    }
  }
  /** Becomes left ⊕ this. */
  __device__ __forceinline__ void fold(const LaneColumns& left, float leftFactor, float factor) {
#pragma unroll
    for (int i = 0; i < each; i++) v[i] = mergeElement(left.v[i], leftFactor, v[i], factor);
  }
  /** The merged row's output, normalised. */
  template <class T>
  __device__ __forceinline__ void write(const AttentionParams& p, const MergeUnit& unit, int row, int part, int lane, float maximum,
                                        float sum) const {
    const int packedRow = unit.rowStart + row, token = packedRow / p.packedHeads;
    const int64_t tokenHead =
        int64_t(unit.queryStart + token) * p.queryHeads + unit.head * p.packedHeads + (packedRow - token * p.packedHeads);
    const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
    const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
    if (lane < lanes) {
      const int column = first(part, lane);
      T* output = static_cast<T*>(p.output) + tokenHead * D + column;
      if constexpr (each == 1) {
        *reinterpret_cast<uint16_t*>(output) = uint16_t(ptx::pack<T>(__fmul_rn(v[0], inverse), 0.f));
      } else {
        uint32_t words[each / 2];
#pragma unroll
        for (int i = 0; i < each; i += 2) words[i / 2] = ptx::pack<T>(__fmul_rn(v[i], inverse), __fmul_rn(v[i + 1], inverse));
        if constexpr (each == 2) *reinterpret_cast<uint32_t*>(output) = words[0];
#pragma unroll
        for (int i = 0; i + 1 < each / 2; i += 2) reinterpret_cast<uint2*>(output)[i / 2] = make_uint2(words[i], words[i + 1]);
      }
      if (column == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
    }
  }
};

/** Partial row of source `s` for row 0 of the unit. */
__device__ __forceinline__ int sourceRow(const AttentionParams& p, const MergeUnit& unit, int s) {
  if (unit.list < 0) return (s < unit.firstRun ? unit.firstRow : unit.secondRow) + s * p.slotRows + unit.rowOffset;
  const SourceRecord source = p.sources[unit.list + s];
  return source.slot * p.slotRows + (source.slotRow & 0xffff) + unit.rowOffset;
}

/**
 * Rows whose sources are among the `width` first leaves of a perfect tree, from `base` on as many at once as 16 (32) partial rows
 * are. Loads are never conditional, so that states and rows travel together.
 */
template <class T, int D, int width, bool kQuarter>
__device__ __forceinline__ void foldLeaves(const AttentionParams& p, const MergeUnit& unit, int base, int part, int lane) {
  using Columns = LaneColumns<D, kQuarter>;
  constexpr int rowsAtOnce = kQuarter ? 1 : 16 / width, partials = rowsAtOnce * width;
  const int leaf = lane & (width - 1);
  const bool isThere = unit.leaves >> leaf & 1;
  const int source = min(__popc(unit.leaves & ((1u << leaf) - 1)), unit.sources - 1);
  const int index = sourceRow(p, unit, source) + min(base + ((lane / width) & (rowsAtOnce - 1)), unit.rowCount - 1);
  float2 state = __ldcg(p.partialState + index);
  Columns rows[partials];
#pragma unroll
  for (int i = 0; i < partials; i++) {
    rows[i].load(p.partialOutput + int64_t(__shfl_sync(0xffffffffu, index, i)) * D, part, lane);
  }
  if (!isThere) state = make_float2(-INFINITY, 0.f);
#pragma unroll
  for (int i = 0; i < partials; i++) {
#pragma unroll
    for (int e = 0; e < Columns::each; e++) rows[i].v[e] = unit.leaves >> (i & (width - 1)) & 1 ? rows[i].v[e] : -0.f;
  }
#pragma unroll
  for (int step = 1; step < width; step <<= 1) {
    const float other = __shfl_xor_sync(0xffffffffu, state.x, step);
    const MergeFactors factors(state.x, other);
    const float otherSum = __shfl_xor_sync(0xffffffffu, state.y, step);
    const bool isRight = (lane & step) != 0;
    state.y = isRight ? mergeElement(otherSum, factors.right, state.y, factors.left) : mergeElement(state.y, factors.left, otherSum, factors.right);
    state.x = factors.maximum;
#pragma unroll
    for (int i = 0; i < partials; i += 2 * step) {
      const float left = __shfl_sync(0xffffffffu, factors.left, i), right = __shfl_sync(0xffffffffu, factors.right, i);
      const Columns node = rows[i];
      rows[i] = rows[i + step];
      rows[i].fold(node, left, right);
    }
  }
#pragma unroll
  for (int r = 0; r < rowsAtOnce; r++) {
    const float maximum = __shfl_sync(0xffffffffu, state.x, r * width), sum = __shfl_sync(0xffffffffu, state.y, r * width);
    if (base + r < unit.rowCount) rows[r * width].template write<T>(p, unit, base + r, part, lane, maximum, sum);
  }
}

/**
 * One row, or a quarter of its columns, along the list of its sources; one warp, whose stack lies at `entries`, for whole rows beyond
 * kCombineRows of them at `furtherEntries`, and at `states`.
 */
template <class T, int D, bool kQuarter>
__device__ __noinline__ void foldList(const AttentionParams& p, const MergeUnit unit, int row, int part, int lane, float* entries,
                                      float* furtherEntries, float2* states) {
  using Columns = LaneColumns<D, kQuarter>;
  constexpr int depth = kQuarter ? 32 : D == 256 ? 8 : 16;
  const auto entry = [&](int e) {
    float* const row = kQuarter || e < kCombineRows ? entries + e * Columns::columns : furtherEntries + (e - kCombineRows) * D;
    return row + (lane % Columns::lanes) * Columns::each;
  };
  const auto recordAt = [&](int base) { return p.sources[unit.list + min(base + (lane & (depth - 1)), unit.sources - 1)]; };
  // The last node that waits is kept in registers, those before it on the stack.
  Columns node{}, previous{};
  float2 state = make_float2(-INFINITY, 0.f), previousState = state;
  int waiting = 0;
  SourceRecord source = recordAt(0);
#pragma unroll 1
  for (int base = 0; base < unit.sources; base += depth) {
    const int index = source.slot * p.slotRows + (source.slotRow & 0xffff) + unit.rowOffset + row, foldsOfLane = source.slotRow >> 16;
    const float2 stateOfLane = __ldcg(p.partialState + index);
    source = recordAt(base + depth);
    Columns rows[depth];
#pragma unroll
    for (int i = 0; i < depth; i++) rows[i].load(p.partialOutput + int64_t(__shfl_sync(0xffffffffu, index, i)) * D, part, lane);
#pragma unroll
    for (int i = 0; i < depth; i++) {
      if (base + i >= unit.sources) break;
      node = rows[i];
      state.x = __shfl_sync(0xffffffffu, stateOfLane.x, i);
      state.y = __shfl_sync(0xffffffffu, stateOfLane.y, i);
#pragma unroll 1
      for (int folds = __shfl_sync(0xffffffffu, foldsOfLane, i); folds > 0 && waiting > 0; folds--) {
        const MergeFactors factors(previousState.x, state.x);
        node.fold(previous, factors.left, factors.right);
        state = make_float2(factors.maximum, mergeElement(previousState.y, factors.left, state.y, factors.right));
        if (--waiting > 0) {
          previousState = states[waiting - 1];
#pragma unroll
          for (int e = 0; e < Columns::each; e++) previous.v[e] = entry(waiting - 1)[e];
        }
      }
      if (base + i + 1 < unit.sources) {
        if (waiting > 0) {
          __syncwarp();
          if (lane < Columns::lanes) {
#pragma unroll
            for (int e = 0; e < Columns::each; e++) entry(waiting - 1)[e] = previous.v[e];
          }
          if (lane == 0) states[waiting - 1] = previousState;
          __syncwarp();
        }
        previous = node;
        previousState = state;
        waiting++;
      }
    }
  }
  node.template write<T>(p, unit, row, part, lane, state.x, state.y);
}

/** As mergeUnit of merge_units.cuh. */
template <class T, int D, bool kTimed, class Base>
__device__ __forceinline__ void mergeUnit(const AttentionParams& p, const Canonical<Base>& shared, const MergeUnit& unit, int warp, int lane,
                                          uint32_t startCycle) {
  uint64_t startNs = 0;
  uint32_t cycle = 0;
  if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
  // A slice is a unit's alone, by its first warp.
  const int part = unit.slice >= 0 ? unit.slice : warp;
  const bool isIdle = unit.slice >= 0 && warp > 0;
  if (unit.leaves == 0) {
    float* const entries = shared.combine + warp * kCombineRows * D;
    float2* const states = shared.states + warp * 16;
    if (shared.nodes != nullptr && unit.rowCount >= kWarps && unit.slice < 0) {
#pragma unroll 1
      for (int row = warp; row < unit.rowCount; row += kWarps) {
        foldList<T, D, false>(p, unit, row, 0, lane, entries, shared.nodes + warp * (kStackEntries - kCombineRows) * D, states);
      }
    } else {
#pragma unroll 1
      for (int row = 0; row < unit.rowCount && !isIdle; row++) foldList<T, D, true>(p, unit, row, part, lane, entries, nullptr, states);
    }
  } else if (unit.leaves < 1u << 4) {
#pragma unroll 1
    for (int base = warp * 4; base < unit.rowCount; base += kWarps * 4) foldLeaves<T, D, 4, false>(p, unit, base, 0, lane);
  } else if (unit.leaves < 1u << 16 && unit.rowCount > 1) {
#pragma unroll 1
    for (int row = warp; row < unit.rowCount; row += kWarps) foldLeaves<T, D, 16, false>(p, unit, row, 0, lane);
  } else {
#pragma unroll 1
    for (int row = 0; row < unit.rowCount && !isIdle; row++) foldLeaves<T, D, 32, true>(p, unit, row, part, lane);
  }
  if constexpr (kTimed) {
    shared.sync();
    if (shared.thread() == 0 && unit.rowOffset == 0 && unit.slice <= 0) {
      p.mergeTrace[unit.merge] = {startNs, ptx::globalTimerNs(), ptx::smId(), workerOf(p, shared),
                                  {cycle, uint32_t(clock()) - startCycle, 0, 0}};
    }
  }
}

}  // namespace isochron
