// Merging inside the attention launch: the CTA that writes the last partial state of a job combines them all.
//
// A counter for each job counts slots; whoever brings it to the job's number of slots resets it to 0 (so the next launch
// finds it ready) and merges. The sources combine in the plan's order whoever comes last: the result is bitwise the same
// from run to run. One warp takes a row, 16 partial rows with their states at a time; a job of one or two rows spreads its
// sources over the warps. Nobody waits, so no CTA depends on another being resident.
#pragma once
#include "params.h"
#include "ptx.cuh"

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

template <class T, int D>
__device__ __forceinline__ void writeMerged(const AttentionParams& p, int queryStart, int head, int packedRow, int lane,
                                            const LaneRow<D>& total, float maximum, float sum) {
  const int token = packedRow / p.packedHeads;
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
      reinterpret_cast<uint2*>(target)[i] =
          make_uint2(ptx::pack<T>(total.v[4 * i] * inverse, total.v[4 * i + 1] * inverse),
                     ptx::pack<T>(total.v[4 * i + 2] * inverse, total.v[4 * i + 3] * inverse));
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

/** Any job: its merge and source records say what to read. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void mergeListed(const AttentionParams& p, const Shared& shared, int mergeStart, int mergeEnd,
                                         int warp, int lane, uint32_t startCycle) {
#pragma unroll 1
  for (int m = mergeStart; m < mergeEnd; m++) {
    uint64_t startNs = 0;
    uint32_t cycle = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
    const MergeRecord merge = p.merges[m];
    mergeRows<T, D>(p, shared, merge.queryStart, merge.head, merge.rowStart, merge.rowCount,
                    merge.sourceEnd - merge.sourceStart, warp, lane, [&](int s, int row) {
                      const SourceRecord source = p.sources[merge.sourceStart + s];
                      return source.slot * p.slotRows + source.slotRow + row;
                    });
    if constexpr (kTimed) {
      shared.sync();
      if (shared.thread() == 0) {
        p.mergeTrace[m] = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker(), {cycle, uint32_t(clock()) - startCycle, 0, 0}};
      }
    }
  }
}

/** As mergeListed, by one warp. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void mergeByWarp(const AttentionParams& p, const Shared& shared, int mergeStart, int mergeEnd, int lane, uint32_t startCycle) {
#pragma unroll 1
  for (int m = mergeStart; m < mergeEnd; m++) {
    uint64_t startNs = 0;
    uint32_t cycle = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
    const MergeRecord merge = p.merges[m];
    const int sources = merge.sourceEnd - merge.sourceStart;
#pragma unroll 1
    for (int row = 0; row < merge.rowCount; row++) {
      LaneRow<D> total;
      float maximum, sum;
      gatherRow<D>(p, sources, 0, 1, lane, [&](int s) {
        const SourceRecord source = p.sources[merge.sourceStart + s];
        return source.slot * p.slotRows + source.slotRow + row;
      }, total, maximum, sum);
      writeMerged<T, D>(p, merge.queryStart, merge.head, merge.rowStart + row, lane, total, maximum, sum);
    }
    if constexpr (kTimed) {
      if (lane == 0) {
        p.mergeTrace[m] = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker(), {cycle, uint32_t(clock()) - startCycle, 0, 0}};
      }
    }
  }
}

/** Announces that a slot is written, and merges every job that it completes. All threads of the CTA call it. */
template <class T, int D, bool kTimed, bool kTall, class Shared>
__device__ __forceinline__ void arrive(const AttentionParams& p, const Shared& shared, const PieceRecord& piece, int slot,
                                       int h, int warp, int lane, uint32_t startCycle) {
  if (piece.job >= 0) {
    shared.sync();
    bool isLast = false;
    if (shared.thread() == 0) {
      isLast = ptx::countArrival(p.counters + piece.job) == piece.arrivals - 1;
      if (isLast) p.counters[piece.job] = 0;
    }
    if (shared.syncOr(isLast)) {
      if (piece.firstSlot >= 0) {
        uint64_t startNs = 0;
        uint32_t cycle = 0;
        if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
        const auto rowOf = [&](int s, int row) { return (piece.firstSlot + s) * p.slotRows + row; };
        constexpr int few = D == 256 ? 4 : 8;
        if (!piece.tall() && piece.validRows() > kWarps && piece.arrivals <= few) {  // one round instead of two
          mergeManyRows<T, D, few>(p, piece.queryStart, piece.head, piece.rowStart, piece.validRows(), piece.arrivals, warp, lane, rowOf);
        } else if (kTall && piece.tall() && piece.arrivals <= 4) {
          mergeManyRows<T, D>(p, piece.queryStart, piece.head, piece.rowStart, piece.validRows(), piece.arrivals, warp, lane, rowOf);
        } else {
          mergeRows<T, D>(p, shared, piece.queryStart, piece.head, piece.rowStart, piece.validRows(), piece.arrivals, warp, lane, rowOf);
        }
        if constexpr (kTimed) {
          shared.sync();
          const TraceRecord trace = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker(),
                                     {cycle, uint32_t(clock()) - startCycle, 0, 0}};
          for (int m = piece.mergeStart + shared.thread(); m < piece.mergeEnd; m += kThreads) p.mergeTrace[m] = trace;
        }
      } else {
        mergeListed<T, D, kTimed>(p, shared, piece.mergeStart, piece.mergeEnd, warp, lane, startCycle);
      }
      shared.sync();
    }
    return;
  }
  // A group's slot feeds a job of each member: 128 arrivals at a time.
  uint32_t* completed = reinterpret_cast<uint32_t*>(shared.states);
  const int start = h == 0 ? piece.slotJobStart : p.slotJobIndptr[slot];
  const int end = p.slotJobIndptr[slot + 1];
  for (int base = start; base < end; base += kThreads) {
    shared.sync();
    bool isLast = false;
    if (base + shared.thread() < end) {
      const int job = p.slotJobs[base + shared.thread()];
      isLast = ptx::countArrival(p.counters + job) == p.jobs[job].arrivals - 1;
      if (isLast) p.counters[job] = 0;
    }
    const uint32_t mask = __ballot_sync(0xffffffffu, isLast);
    if (lane == 0) completed[warp] = mask;
    shared.sync();
    uint32_t masks[kWarps];
#pragma unroll
    for (int w = 0; w < kWarps; w++) masks[w] = completed[w];
    shared.sync();
    if ((masks[0] | masks[1] | masks[2] | masks[3]) == 0) continue;
    // A warp takes every fourth of the completed jobs: their rows are few, and their look-ups would otherwise add up.
    int ordinal = 0;
#pragma unroll 1
    for (int i = 0; i < kThreads; i++) {
      const uint32_t bits = i < 32 ? masks[0] : i < 64 ? masks[1] : i < 96 ? masks[2] : masks[3];
      if (((bits >> (i & 31)) & 1) == 0 || (ordinal++ & (kWarps - 1)) != warp) continue;
      const JobRecord job = p.jobs[p.slotJobs[base + i]];
      mergeByWarp<T, D, kTimed>(p, shared, job.mergeStart, job.mergeEnd, lane, startCycle);
    }
    shared.sync();
  }
}

}  // namespace isochron
