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

/** Merges the jobs list[first], list[first + step], …: by one warp. */
template <class T, int D, bool kTimed>
__device__ __noinline__ void mergeJobList(const AttentionParams& p, const SharedMemory& shared, const uint32_t* list, int first,
                                          int step, int count, int lane, uint32_t startCycle) {
#pragma unroll 1
  for (int base = first; base < count; base += 32 * step) {
    const int mine = min(base + lane * step, count - 1);
    const JobRecord job = p.jobs[list[mine]];
    const MergeRecord merge = p.merges[job.mergeStart];
    const int sources = merge.sourceEnd - merge.sourceStart;
    const bool few = sources <= kMergeWidth && job.mergeEnd == job.mergeStart + 1;
    int source[kMergeWidth];
#pragma unroll
    for (int s = 0; s < kMergeWidth; s++) {
      const SourceRecord record = p.sources[merge.sourceStart + min(s, sources - 1)];
      source[s] = record.slot * p.slotRows + record.slotRow;
    }
    const int jobs = min(32, (count - base + step - 1) / step);
#pragma unroll 1
    for (int j = 0; j < jobs; j++) {
      const int mergeStart = __shfl_sync(0xffffffffu, job.mergeStart, j);
      if (!__shfl_sync(0xffffffffu, int(few), j)) {
        mergeByWarp<T, D, kTimed>(p, shared, mergeStart, __shfl_sync(0xffffffffu, job.mergeEnd, j), lane, startCycle);
        continue;
      }
      uint64_t startNs = 0;
      uint32_t cycle = 0;
      if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
      const int queryStart = __shfl_sync(0xffffffffu, merge.queryStart, j), head = __shfl_sync(0xffffffffu, merge.head, j);
      const int rowStart = __shfl_sync(0xffffffffu, merge.rowStart, j), rowCount = __shfl_sync(0xffffffffu, merge.rowCount, j);
      const int sourceCount = __shfl_sync(0xffffffffu, sources, j);
      int at[kMergeWidth];
#pragma unroll
      for (int s = 0; s < kMergeWidth; s++) at[s] = __shfl_sync(0xffffffffu, source[s], j);
      constexpr int rowsAtOnce = D == 256 ? 2 : 4;
#pragma unroll 1
      for (int row = 0; row < rowCount; row += rowsAtOnce) {
        mergeManyRows<T, D>(p, queryStart, head, rowStart + row, min(rowsAtOnce, rowCount - row), sourceCount, 0, lane,
                            [&](int s, int r) { return (s == 0 ? at[0] : s == 1 ? at[1] : s == 2 ? at[2] : at[3]) + row + r; });
      }
      if constexpr (kTimed) {
        if (lane == 0) {
          p.mergeTrace[mergeStart] = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker,
                                      {cycle, uint32_t(clock()) - startCycle, 0, 0}};
        }
      }
    }
  }
}

/** Announces that both warpgroups have written a slot, and merges every job that it completes. `flags`: 256 + 16 words. */
template <class T, int D, bool kTimed>
__device__ __noinline__ void arriveTall(const AttentionParams& p, const SharedMemory& shared, const PieceRecord& piece, int slot,
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
      const TraceRecord trace = {startNs, ptx::globalTimerNs(), ptx::smId(), shared.worker,
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
