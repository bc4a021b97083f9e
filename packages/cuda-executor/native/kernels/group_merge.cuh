// Arrivals of slots that both consumer warpgroups wrote, and the merges that they complete.
//
// A slot of a shared-prefix group feeds a job of every member, of few rows each: up to 256 of them arrive at a time, the
// completed ones form a list in shared memory, and each of 8 warps takes every eighth. Their records are looked up side by
// side, a lane for each, so that a job then costs one trip to L2.
#pragma once
#include "merge.cuh"

namespace isochron {

#if ISOCHRON_WARPGROUP

constexpr int kBothGroups = 3;  // the barrier of both warpgroups
constexpr int kMergeWidth = 4;  // sources that mergeManyRows takes

/** Merges up to 4 rows of at most 32 sources; source s of row r is partial row `index` of lane s, plus r. By one warp. */
template <class T, int D, int width>
__device__ __forceinline__ void mergeFewRows(const AttentionParams& p, int queryStart, int head, int rowStart, int rowCount,
                                             int sources, int index, int lane) {
  constexpr int rowsAtOnce = 4;
  const int myRow = min(lane / width & (rowsAtOnce - 1), rowCount - 1), mySource = lane & (width - 1);
  LaneRow<D> total[rowsAtOnce];
  float maximum = -INFINITY, sum = 0.f;  // of this lane's row
#pragma unroll
  for (int r = 0; r < rowsAtOnce; r++) {
#pragma unroll
    for (int e = 0; e < D / 32; e++) total[r].v[e] = 0.f;
  }
#pragma unroll 1
  for (int base = 0; base < sources; base += width) {
    const int at = __shfl_sync(0xffffffffu, index, min(base + mySource, sources - 1)) + myRow;
    float2 state = __ldcg(p.partialState + at);
    LaneRow<D> rows[rowsAtOnce * width];
#pragma unroll
    for (int i = 0; i < rowsAtOnce * width; i++) {
      rows[i].load(p.partialOutput + int64_t(__shfl_sync(0xffffffffu, at, i)) * D, lane);
    }
    if (base + mySource >= sources) state = make_float2(-INFINITY, 0.f);
    float joint = state.x;
#pragma unroll
    for (int d = width / 2; d > 0; d >>= 1) joint = fmaxf(joint, __shfl_xor_sync(0xffffffffu, joint, d));
    joint = fmaxf(joint, maximum);
    const float reference = joint == -INFINITY ? 0.f : joint;
    const float weight = ptx::exp2Fast(state.x - reference), factor = ptx::exp2Fast(maximum - reference);
    float gained = weight * state.y;
#pragma unroll
    for (int d = width / 2; d > 0; d >>= 1) gained += __shfl_xor_sync(0xffffffffu, gained, d);
    sum = sum * factor + gained;
    maximum = joint;
#pragma unroll
    for (int r = 0; r < rowsAtOnce; r++) {
      const float old = __shfl_sync(0xffffffffu, factor, r * width);
#pragma unroll
      for (int e = 0; e < D / 32; e++) total[r].v[e] *= old;
#pragma unroll
      for (int s = 0; s < width; s++) {
        const float w = __shfl_sync(0xffffffffu, weight, r * width + s);
#pragma unroll
        for (int e = 0; e < D / 32; e++) total[r].v[e] += w * rows[r * width + s].v[e];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < rowsAtOnce; r++) {
    const float rowMaximum = __shfl_sync(0xffffffffu, maximum, r * width), rowSum = __shfl_sync(0xffffffffu, sum, r * width);
    if (r < rowCount) writeMerged<T, D>(p, queryStart, head, rowStart + r, lane, total[r], rowMaximum, rowSum);
  }
}

/** Merges the jobs list[first], list[first + step], …: by one warp. */
template <class T, int D, bool kTimed>
__device__ __noinline__ void mergeJobList(const AttentionParams& p, const WarpgroupMemory& shared, const uint32_t* list, int first,
                                          int step, int count, int lane, uint32_t startCycle) {
  const auto sourceOf = [&](const MergeRecord& merge) {
    const SourceRecord record = p.sources[merge.sourceStart + min(lane, merge.sourceEnd - merge.sourceStart - 1)];
    return record.slot * p.slotRows + record.slotRow;
  };
#pragma unroll 1
  for (int base = first; base < count; base += 32 * step) {
    const JobRecord job = p.jobs[list[min(base + lane * step, count - 1)]];
    const MergeRecord first = p.merges[job.mergeStart];
    const int jobs = min(32, (count - base + step - 1) / step);
    const auto mergeOf = [&](int j) {
      MergeRecord merge;
      merge.queryStart = __shfl_sync(0xffffffffu, first.queryStart, j);
      merge.head = __shfl_sync(0xffffffffu, first.head, j);
      merge.rowStart = __shfl_sync(0xffffffffu, first.rowStart, j);
      merge.rowCount = __shfl_sync(0xffffffffu, first.rowCount, j);
      merge.sourceStart = __shfl_sync(0xffffffffu, first.sourceStart, j);
      merge.sourceEnd = __shfl_sync(0xffffffffu, first.sourceEnd, j);
      return merge;
    };
    int nextIndex = sourceOf(mergeOf(0));
#pragma unroll 1
    for (int j = 0; j < jobs; j++) {
      const int mergeStart = __shfl_sync(0xffffffffu, job.mergeStart, j), mergeEnd = __shfl_sync(0xffffffffu, job.mergeEnd, j);
      const MergeRecord merge = mergeOf(j);
      const int index = nextIndex, sources = merge.sourceEnd - merge.sourceStart;
      if (j + 1 < jobs) nextIndex = sourceOf(mergeOf(j + 1));
      if (mergeEnd > mergeStart + 1 || sources > 32) {
        mergeByWarp<T, D, kTimed>(p, shared, mergeStart, mergeEnd, lane, startCycle);
        continue;
      }
      uint64_t startNs = 0;
      uint32_t cycle = 0;
      if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
#pragma unroll 1
      for (int row = 0; row < merge.rowCount; row += 4) {
        const int rows = min(4, merge.rowCount - row);
        mergeFewRows<T, D, kMergeWidth>(p, merge.queryStart, merge.head, merge.rowStart + row, rows, sources, index + row, lane);
      }
      if constexpr (kTimed) {
        if (lane == 0) {
          p.mergeTrace[mergeStart] = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker(),
                                      {cycle, uint32_t(clock()) - startCycle, 0, 0}};
        }
      }
    }
  }
}

/** Announces that both warpgroups have written a slot, and merges every job that it completes. `flags`: 256 + 16 words. */
template <class T, int D, bool kTimed>
__device__ __noinline__ void arriveTall(const AttentionParams& p, const WarpgroupMemory& shared, const PieceRecord& piece, int slot,
                                        int group, int warp, int lane, uint32_t* flags, uint32_t startCycle) {
  ptx::syncThreads(kBothGroups, 2 * kThreads);
  if (piece.job >= 0 && piece.firstSlot >= 0) {
    if (threadIdx.x == 0) {
      const bool last = ptx::countArrival(p.counters + piece.job) == piece.arrivals - 1;
      if (last) p.counters[piece.job] = 0;
      flags[0] = last;
    }
    ptx::syncThreads(kBothGroups, 2 * kThreads);
    const int first = group * 64, rows = min(piece.validRows() - first, 64);
    if (flags[0] == 0 || rows <= 0) return;
    uint64_t startNs = 0;
    uint32_t cycle = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
    const auto rowOf = [&](int s, int row) { return (piece.firstSlot + s) * p.slotRows + first + row; };
    if (piece.arrivals <= 2) {
      mergeManyRows<T, D, 2>(p, piece.queryStart, piece.head, piece.rowStart + first, rows, piece.arrivals, warp, lane, rowOf);
    } else if (piece.arrivals <= kMergeWidth) {
      mergeManyRows<T, D>(p, piece.queryStart, piece.head, piece.rowStart + first, rows, piece.arrivals, warp, lane, rowOf);
    } else {
      mergeRows<T, D>(p, shared, piece.queryStart, piece.head, piece.rowStart + first, rows, piece.arrivals, warp, lane, rowOf);
    }
    if constexpr (kTimed) {
      shared.sync();
      const TraceRecord trace = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker(),
                                 {cycle, uint32_t(clock()) - startCycle, 0, 0}};
      if (group == 0) {
        for (int m = piece.mergeStart + shared.thread(); m < piece.mergeEnd; m += kThreads) p.mergeTrace[m] = trace;
      }
    }
    return;
  }
  uint32_t *const list = flags, *const masks = flags + 2 * kThreads;
  const int start = p.slotJobIndptr[slot], end = p.slotJobIndptr[slot + 1];
#pragma unroll 1
  for (int base = start; base < end; base += 2 * kThreads) {
    int job = 0;
    bool last = false;
    if (base + int(threadIdx.x) < end) {
      job = p.slotJobs[base + threadIdx.x];
      last = ptx::countArrival(p.counters + job) == p.jobs[job].arrivals - 1;
      if (last) p.counters[job] = 0;
    }
    const uint32_t mask = __ballot_sync(0xffffffffu, last);
    const int mine = group * kWarps + warp;
    if (lane == 0) masks[mine] = __popc(mask);
    ptx::syncThreads(kBothGroups, 2 * kThreads);
    int before = 0, count = 0;
#pragma unroll
    for (int w = 0; w < 2 * kWarps; w++) {
      before += w < mine ? masks[w] : 0;
      count += masks[w];
    }
    if (last) list[before + __popc(mask & ((1u << lane) - 1))] = job;
    ptx::syncThreads(kBothGroups, 2 * kThreads);
    mergeJobList<T, D, kTimed>(p, shared, list, mine, 2 * kWarps, count, lane, startCycle);
    ptx::syncThreads(kBothGroups, 2 * kThreads);
  }
}

#endif

}  // namespace isochron
