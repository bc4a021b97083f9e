// Partial rows that say themselves whether they are written, so that a merge waits for them and for nothing else.
//
// Between launches every word of these rows is kUnwritten, bits that no result has. Who merges looks at the rows until no word of
// them is, and makes them so again when it has them: no fence and no counter, and one trip to L2 instead of three. Each word is read by
// one warp alone, once (awaited_units.h). Unit of work: a part, which is one row of a merge, or so many of its columns that the loads
// of a lane hold all sources. So many warps merge a job, and the code, which runs once a launch from cold instruction memory, is short.
#pragma once
#include "canonical_arithmetic.cuh"
#include "merge.cuh"

namespace isochron {

/** A NaN, but not the one that the device's arithmetic makes (0x7fffffff). */
constexpr uint32_t kUnwritten = 0xffffffff;

/** Other NaNs may come in with the inputs: those bits become another one. */
__device__ __forceinline__ float written(float x) { return __uint_as_float(min(__float_as_uint(x), kUnwritten - 1)); }
__device__ __forceinline__ bool isUnwritten(float x) { return __float_as_uint(x) == kUnwritten; }

/** A row's state lies there once for each 8 columns: who takes some columns takes their copies. */
constexpr int kColumnsOfState = 8;

/** Four columns of row `row` of all places' rows, and the state's copy of columns that begin there. */
template <int D>
__device__ __forceinline__ void writeAwaited(const AttentionParams& p, int64_t row, int column, const float4& total, float2 state) {
  __stcg(reinterpret_cast<float4*>(p.awaitedOutput + row * D + column),
         make_float4(written(total.x), written(total.y), written(total.z), written(total.w)));
  if (column % kColumnsOfState == 0) {
    __stcg(p.awaitedState + (row * D + column) / kColumnsOfState, make_float2(written(state.x), written(state.y)));
  }
}

/** The same of a whole row, of which each lane has D / 32 columns side by side. */
template <int D>
__device__ __forceinline__ void writeAwaited(const AttentionParams& p, int64_t row, const LaneRow<D>& node, float2 state, int lane) {
  if constexpr (D == 64) {
    const float x = __shfl_down_sync(0xffffffffu, node.v[0], 1), y = __shfl_down_sync(0xffffffffu, node.v[1], 1);
    if (lane % 2 == 0) writeAwaited<D>(p, row, lane * 2, make_float4(node.v[0], node.v[1], x, y), state);
  } else {
#pragma unroll
    for (int i = 0; i < D / 32; i += 4) {
      writeAwaited<D>(p, row, lane * (D / 32) + i, make_float4(node.v[i], node.v[i + 1], node.v[i + 2], node.v[i + 3]), state);
    }
  }
}

/**
 * One part's sources in the order of the plan: of each load, lanes side by side hold columns, groups of lanes sources. `isTree`: they
 * are leaves of a small perfect tree, missing ones between them (canonical_units.h), and groups and loads count leaves.
 */
template <int D, int loads, bool isTree>
struct AwaitedPart {
  int lanesLog2;  // of one source
  int lane, sources;
  uint32_t leaves;  // of a tree, as bits
  float4* values;  // of this lane's columns, in the first source's row
  float2* states;  // the copy of these columns
  float4 value[loads];
  float2 state[loads];

  __device__ __forceinline__ AwaitedPart(const AttentionParams& p, const AwaitedUnit& unit, int row, int slice, int lane)
      : lanesLog2(unit.lanesLog2), lane(lane), sources(unit.sources), leaves(isTree ? unit.leaves : 0) {
    const int64_t first = (int64_t(unit.place) * kAwaitedRows + row) * D + (slice << (lanesLog2 + 2));
    values = reinterpret_cast<float4*>(p.awaitedOutput + first) + inGroup();
    states = p.awaitedState + first / kColumnsOfState + inGroup() / 2;
  }
  __device__ __forceinline__ int inGroup() const { return lane & ((1 << lanesLog2) - 1); }
  __device__ __forceinline__ int placeOf(int i) const { return ((32 >> lanesLog2) * i) + (lane >> lanesLog2); }
  /** The source that a load has, and whether it has one. */
  __device__ __forceinline__ int sourceOf(int i) const {
    return isTree ? __popc(leaves & (placeOf(i) < 32 ? (1u << placeOf(i)) - 1 : ~0u)) : placeOf(i);
  }
  __device__ __forceinline__ bool hasSource(int i) const {
    return isTree ? placeOf(i) < 32 && (leaves >> placeOf(i) & 1) != 0 : sourceOf(i) < sources;
  }
  /** Loads without a source repeat another one. */
  __device__ __forceinline__ int elementsTo(int i) const { return min(sourceOf(i), sources - 1) * (kAwaitedRows * D); }

  /** True where all is there. All copies of states are looked at, since all are cleared. */
  __device__ __forceinline__ bool look() {
#pragma unroll
    for (int i = 0; i < loads; i++) {
      value[i] = ptx::loadNow4(reinterpret_cast<const float*>(values + elementsTo(i) / 4));
      state[i] = ptx::loadNow2(reinterpret_cast<const float*>(states + elementsTo(i) / kColumnsOfState));
    }
    bool missing = false;
#pragma unroll
    for (int i = 0; i < loads; i++) {
      missing |= isUnwritten(value[i].x) | isUnwritten(value[i].y) | isUnwritten(value[i].z) | isUnwritten(value[i].w) |
                 isUnwritten(state[i].x) | isUnwritten(state[i].y);
    }
    return !__any_sync(0xffffffffu, missing);
  }
  /** All words kUnwritten again: each lane those of its columns, and of their state, which it shares with a neighbour, one. */
  __device__ __forceinline__ void clear() const {
    const float none = __uint_as_float(kUnwritten);
#pragma unroll
    for (int i = 0; i < loads; i++) {
      __stcg(values + elementsTo(i) / 4, make_float4(none, none, none, none));
      __stcg(reinterpret_cast<float*>(states + elementsTo(i) / kColumnsOfState) + (lane & 1), none);
    }
  }
  /** Combines the sources; every group of lanes then has the result. */
  __device__ __forceinline__ void combine(float4& total, float& maximum, float& sum) {
    if constexpr (isTree) foldTree(total, maximum, sum);
    else addUp(total, maximum, sum);
  }

 private:
  __device__ __forceinline__ void addUp(float4& total, float& maximum, float& sum) const {
    maximum = -INFINITY;
#pragma unroll
    for (int i = 0; i < loads; i++) maximum = fmaxf(maximum, hasSource(i) ? state[i].x : -INFINITY);
    for (int d = 1 << lanesLog2; d < 32; d <<= 1) maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, d));
    const float reference = maximum == -INFINITY ? 0.f : maximum;
    total = make_float4(0.f, 0.f, 0.f, 0.f);
    sum = 0.f;
#pragma unroll
    for (int i = 0; i < loads; i++) {
      const float weight = hasSource(i) ? ptx::exp2Fast(state[i].x - reference) : 0.f;
      sum += weight * state[i].y;
      total.x += weight * value[i].x, total.y += weight * value[i].y, total.z += weight * value[i].z, total.w += weight * value[i].w;
    }
    for (int d = 1 << lanesLog2; d < 32; d <<= 1) {
      sum += __shfl_xor_sync(0xffffffffu, sum, d);
      total.x += __shfl_xor_sync(0xffffffffu, total.x, d);
      total.y += __shfl_xor_sync(0xffffffffu, total.y, d);
      total.z += __shfl_xor_sync(0xffffffffu, total.z, d);
      total.w += __shfl_xor_sync(0xffffffffu, total.w, d);
    }
  }
  /** Level by level, the left one first: leaves of a load lie side by side in groups of lanes, those of other loads behind them. */
  __device__ __forceinline__ void foldTree(float4& total, float& maximum, float& sum) {
#pragma unroll
    for (int i = 0; i < loads; i++) {
      if (!hasSource(i)) state[i] = make_float2(-INFINITY, 0.f), value[i] = make_float4(-0.f, -0.f, -0.f, -0.f);
    }
    for (int d = 1 << lanesLog2; d < 32; d <<= 1) {
      const bool isRight = (lane & d) != 0;
#pragma unroll
      for (int i = 0; i < loads; i++) {
        const MergeFactors own(state[i].x, __shfl_xor_sync(0xffffffffu, state[i].x, d));
        state[i].x = own.maximum;
        const float left = isRight ? own.right : own.left, right = isRight ? own.left : own.right;
        const auto fold = [&](float& x) {
          const float other = __shfl_xor_sync(0xffffffffu, x, d);
          x = mergeElement(isRight ? other : x, left, isRight ? x : other, right);
        };
        fold(state[i].y), fold(value[i].x), fold(value[i].y), fold(value[i].z), fold(value[i].w);
      }
    }
#pragma unroll
    for (int step = 1; step < loads; step <<= 1) {
#pragma unroll
      for (int i = 0; i < loads; i += 2 * step) {
        const MergeFactors factors(state[i].x, state[i + step].x);
        const auto fold = [&](float& left, float right) { left = mergeElement(left, factors.left, right, factors.right); };
        state[i].x = factors.maximum;
        fold(state[i].y, state[i + step].y);
        fold(value[i].x, value[i + step].x), fold(value[i].y, value[i + step].y);
        fold(value[i].z, value[i + step].z), fold(value[i].w, value[i + step].w);
      }
    }
    total = value[0], maximum = state[0].x, sum = state[0].y;
  }
};

/**
 * Does this warp's parts of a unit, every fourth. False, and nothing done, where the first did not come within `patience` looks:
 * where one has come, all sources' workers run, and need no place for the others to come.
 */
template <class T, int D, bool kTimed, int loads, class Shared>
__device__ __forceinline__ bool mergeParts(const AttentionParams& p, const Shared& shared, const AwaitedUnit& unit, int patience, int warp,
                                           int lane, uint32_t startCycle) {
  constexpr int kQuadsLog2 = D == 64 ? 4 : D == 128 ? 5 : 6;
  const int slicesLog2 = kQuadsLog2 - unit.lanesLog2;
#pragma unroll 1
  for (int i = warp; i < unit.parts; i += kWarps) {
    const int at = unit.firstPart + i, row = at >> slicesLog2, slice = at & ((1 << slicesLog2) - 1);
    AwaitedPart<D, loads, Shared::mergesTrees> part(p, unit, row, slice, lane);
    for (int looks = 1; !part.look(); looks++) {
      if (looks >= patience && i == warp) return false;
      __nanosleep(20);
    }
    uint64_t startNs = 0;
    uint32_t cycle = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
    float4 total;
    float maximum, sum;
    part.combine(total, maximum, sum);
    if (lane < 1 << unit.lanesLog2) {
      writeColumns<T, D>(p, unit.queryStart, unit.head, unit.rowStart + row, (slice << unit.lanesLog2 | lane) * 4, total, maximum, sum);
    }
    part.clear();
    if constexpr (kTimed) {
      // A merge of several parts is shown as its first.
      if (lane == 0 && at == 0) {
        p.mergeTrace[unit.merge] = {startNs, ptx::globalTimerNs(), ptx::smId(), workerOf(p, shared), {cycle, uint32_t(clock()) - startCycle, 0, 0}};
      }
    }
  }
  return true;
}

template <class T, int D, bool kTimed, class Shared>
__device__ __forceinline__ bool mergeParts(const AttentionParams& p, const Shared& shared, const AwaitedUnit& unit, int patience, int warp,
                                           int lane, uint32_t startCycle) {
  return unit.loads == 8 ? mergeParts<T, D, kTimed, 8>(p, shared, unit, patience, warp, lane, startCycle)
                         : mergeParts<T, D, kTimed, 4>(p, shared, unit, patience, warp, lane, startCycle);
}

}  // namespace isochron
