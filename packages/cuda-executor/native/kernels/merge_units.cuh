// Merging inside the attention launch: behind its pieces, a worker does the merge units that the image gave it.
//
// A decode's units wait for the rows themselves, each warp on its own (awaited_rows.cuh). Slots of other jobs are counted: by a
// counter for each job. Where one unit merges the whole job and the job's pieces are the last of their workers, whoever counts last
// merges. Else the image names a worker for each unit, who waits until all slots are there and then counts too; the last resets
// the counter for the next launch. Nobody waits for ever, because a CTA that waits may hold the place of one that it waits for (where
// other kernels or a tool take places): a worker, or one of its warps, whose patience ends leaves its units to the worker that
// begins last. That one is known, since every worker counts itself when it begins, and when it ends its pieces, what is still on
// its way needs no place to arrive.
#pragma once
#include <climits>

#include "awaited_rows.cuh"
#include "merge.cuh"

namespace isochron {

/** AttentionParams::progress: workers that began; from this bit on, those that left units. Both 0 between launches. */
constexpr uint32_t kOneLeaver = 1u << 16;

/**
 * What a worker does behind its pieces: units [start, awaited), whose slots are counted, and [awaited, end), whose rows are waited
 * for; `starters`: as the worker record says, and 0 in launches without units.
 */
struct UnitRange {
  int start, awaited, end, starters;

  static __device__ __forceinline__ UnitRange of(const AttentionParams& p, const WorkerRecord& worker) {
    const bool here = p.mergePatience > 0;
    return {worker.unitStart, here ? worker.awaitedStart : worker.unitStart, here ? worker.unitEnd : worker.unitStart,
            here ? worker.starters : 0};
  }
};

/** One thread of a worker counts it, the previous launch done. Looked at when the worker ends: see endWorker. */
__device__ __forceinline__ uint32_t countBeginning(const AttentionParams& p, const UnitRange& units, int thread) {
  return units.starters > 0 && thread == 0 ? ptx::countRelaxed(p.progress) : 0;
}

/** One thread of 128 announces that a slot is written, to each job that counts it. The writes lie before a barrier. */
__device__ __forceinline__ void announceSlot(const AttentionParams& p, const PieceRecord& piece, int slot, int h, int thread) {
  if (piece.job <= kAtWorkersEnd) return;
  if (piece.job >= 0) {
    if (thread == 0) ptx::announceArrival(p.counters + piece.job);
    return;
  }
  // A group's slot feeds a job of each member.
  const int start = h == 0 ? piece.slotJobStart : p.slotJobIndptr[slot], end = p.slotJobIndptr[slot + 1];
  for (int i = start + thread; i < end; i += kThreads) ptx::announceArrival(p.counters + p.slotJobs[i]);
}

/** Brings a worker's first unit to shared memory; endWorker waits for it. */
__device__ __forceinline__ void prefetchUnit(const AttentionParams& p, UnitMemory* target, const UnitRange& units, int thread) {
  constexpr int quads = sizeof(UnitRecord) / 16;
  if (units.start < units.end && thread < quads) {
    ptx::copyAsync16(ptx::sharedAddress(&target->first) + thread * 16, reinterpret_cast<const uint4*>(p.units + units.start) + thread, true,
                     ptx::policyEvictNormal());
  }
  if (thread == 0) target->votes = 0;
}

template <class T, int D, bool kTimed, class Shared>
__device__ __forceinline__ void mergeUnit(const AttentionParams& p, const Shared& shared, const MergeUnit& unit, int warp, int lane,
                                          uint32_t startCycle) {
  uint64_t startNs = 0;
  uint32_t cycle = 0;
  if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
  const auto rowOf = [&](int s, int row) {
    if (unit.list < 0) return (s < unit.firstRun ? unit.firstRow : unit.secondRow) + s * p.slotRows + unit.rowOffset + row;
    const SourceRecord source = p.sources[unit.list + s];
    return source.slot * p.slotRows + source.slotRow + unit.rowOffset + row;
  };
  if (unit.slice >= 0) {
    mergeSlice<T, D>(p, shared, unit.queryStart, unit.head, unit.rowStart, unit.slice, unit.sources, warp, lane,
                     [&](int s) { return rowOf(s, 0); });
  } else if (unit.rowCount > 2 * kWarps && unit.sources <= 4) {
    mergeManyRows<T, D, 4>(p, unit.queryStart, unit.head, unit.rowStart, unit.rowCount, unit.sources, warp, lane, rowOf);
  } else if (unit.rowCount > kWarps && unit.sources <= 8) {
    mergeManyRows<T, D, 8>(p, unit.queryStart, unit.head, unit.rowStart, unit.rowCount, unit.sources, warp, lane, rowOf);
  } else {
    mergeRows<T, D>(p, shared, unit.queryStart, unit.head, unit.rowStart, unit.rowCount, unit.sources, warp, lane, rowOf);
  }
  if constexpr (kTimed) {
    shared.sync();
    // A merge of several units is shown as its first.
    if (shared.thread() == 0 && unit.rowOffset == 0 && unit.slice <= 0) {
      p.mergeTrace[unit.merge] = {startNs, ptx::globalTimerNs(), ptx::smId(), workerOf(p, shared),
                                  {cycle, uint32_t(clock()) - startCycle, 0, 0}};
    }
  }
}

/**
 * One lane of each warp, its patience ended: true where all four warps give up this unit, false once its slots are there. The
 * fourth vote is given after another look: who is a unit ahead has seen this one's slots, so that all four give up the same.
 */
static __device__ __noinline__ bool giveUp(int32_t* votes, const int32_t* counter, int arrivals) {
  bool voted = false;
  for (;; __nanosleep(200)) {
    const int others = atomicAdd(votes, 0) - int(voted);
    if (voted && others == kWarps - 1) return true;
    const bool isThere = ptx::arrivalsSoFar(counter) >= arrivals;
    if (isThere && (!voted || atomicCAS(votes, others + 1, others) == others + 1)) return false;
    if (!isThere && !voted) voted = atomicCAS(votes, others, others + 1) == others;
  }
}

/** Waits for the slots of a unit; false where all four warps gave it up. */
__device__ __forceinline__ bool awaitSlots(const int32_t* counter, int arrivals, int patience, int32_t* votes, int lane) {
  int looks = 0;
  while (ptx::arrivalsSoFar(counter) < arrivals) {
    if (++looks == patience) {
      bool gaveUp = false;
      if (lane == 0) gaveUp = giveUp(votes, counter, arrivals);
      if (__any_sync(0xffffffffu, gaveUp)) return false;
      looks = 0;
    } else {
      __nanosleep(20);
    }
  }
  return true;
}

/**
 * Does the units [unitStart, unitEnd) as four warps, each on its own way where a unit does not need them together. Returns the
 * first that is not done since its slots did not come.
 */
template <class T, int D, bool kTimed, class Shared>
__device__ __forceinline__ int mergeUnits(const AttentionParams& p, const Shared& shared, MergeUnit unit, int unitStart, int unitEnd,
                                          int patience, int warp, int lane, uint32_t startCycle) {
#pragma unroll 1
  for (int u = unitStart;;) {
    MergeUnit next = unit;
    if (u + 1 < unitEnd) next = p.units[u + 1].counted;
    int32_t* const counter = p.counters + unit.job;
    bool isMine = true;
    int before = -1;
    if (unit.units == 0) {
      if (shared.thread() == 0) before = ptx::countArrival(counter);
      isMine = shared.syncOr(before == unit.arrivals - 1);
    } else {
      if (!awaitSlots(counter, unit.arrivals, patience, &shared.units->votes, lane)) return u;
      if (lane == 0) before = ptx::countRelaxed(counter);
    }
    if (isMine) mergeUnit<T, D, kTimed>(p, shared, unit, warp, lane, startCycle);
    if (lane == 0 && before == unit.arrivals + unit.units * kWarps - 1) *counter = 0;
    if (++u == unitEnd) return u;
    unit = next;
  }
}

/** Takes the units that a worker left, if no other did. All slots are written or on their way. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void takeLeftUnits(const AttentionParams& p, const Shared shared, int worker, uint32_t startCycle) {
  shared.sync();
  if (shared.thread() == 0) shared.units->left = ptx::exchangeOrdered(p.leftUnits + worker, -1);
  shared.sync();
  const int start = shared.units->left;
  if (start < 0) return;
  mergeUnits<T, D, kTimed>(p, shared, p.units[start].counted, start, p.workers[worker].awaitedStart, INT_MAX, shared.thread() >> 5,
                           shared.thread() & 31, startCycle);
}

/** A worker whose patience ended. Where all have begun meanwhile, there is nobody to leave the rest to, and no need. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void leaveUnits(const AttentionParams& p, const Shared shared, int firstLeft, int starters, uint32_t startCycle) {
  bool haveAllBegun = false;
  if (shared.thread() == 0) {
    ptx::exchangeOrdered(p.leftUnits + shared.worker(), firstLeft);
    const uint32_t begun = ptx::addOrdered(p.progress, kOneLeaver) % kOneLeaver;
    haveAllBegun = begun == starters || begun == 0;  // 0: the last of them has cleared the count
    if (haveAllBegun) ptx::addOrdered(p.progress, 0 - kOneLeaver);
  }
  if (shared.syncOr(haveAllBegun)) takeLeftUnits<T, D, kTimed>(p, shared, shared.worker(), startCycle);
}

/** As takeLeftUnits, by one warp, with the parts that the same warp of a worker left. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void takeLeftParts(const AttentionParams& p, const Shared shared, int worker, int warp, int lane, uint32_t startCycle) {
  int u = -1;
  if (lane == 0) u = ptx::exchangeOrdered(p.leftParts + worker * kWarps + warp, -1);
  u = __shfl_sync(0xffffffffu, u, 0);
  for (; u >= 0 && u < p.workers[worker].unitEnd; u++) mergeParts<T, D, kTimed>(p, shared, p.units[u].awaited, INT_MAX, warp, lane, startCycle);
}

/** As leaveUnits, by one warp. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void leaveParts(const AttentionParams& p, const Shared shared, int firstLeft, int starters, int warp, int lane,
                                        uint32_t startCycle) {
  bool haveAllBegun = false;
  if (lane == 0) {
    ptx::exchangeOrdered(p.leftParts + shared.worker() * kWarps + warp, firstLeft);
    const uint32_t begun = ptx::addOrdered(p.progress, kOneLeaver) % kOneLeaver;
    haveAllBegun = begun == starters || begun == 0;
    if (haveAllBegun) ptx::addOrdered(p.progress, 0 - kOneLeaver);
  }
  if (__any_sync(0xffffffffu, haveAllBegun)) takeLeftParts<T, D, kTimed>(p, shared, shared.worker(), warp, lane, startCycle);
}

/** A worker's awaited units, by each warp on its own. */
template <class T, int D, bool kTimed, class Shared>
__device__ __forceinline__ void mergeAwaited(const AttentionParams& p, const Shared& shared, const UnitRange& units, int warp, int lane,
                                             uint32_t startCycle) {
#pragma unroll 1
  for (int u = units.awaited; u < units.end; u++) {
    const AwaitedUnit unit = u == units.start ? shared.units->first.awaited : p.units[u].awaited;
    if (!mergeParts<T, D, kTimed>(p, shared, unit, p.mergePatience, warp, lane, startCycle)) {
      leaveParts<T, D, kTimed>(p, shared, u, units.starters, warp, lane, startCycle);
      return;
    }
  }
}

/** The worker that began last does what others left. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void takeAllLeftUnits(const AttentionParams& p, const Shared shared, uint32_t startCycle) {
  for (int w = 0; w < p.workerCount; w++) {
    takeLeftUnits<T, D, kTimed>(p, shared, w, startCycle);
    takeLeftParts<T, D, kTimed>(p, shared, w, shared.thread() >> 5, shared.thread() & 31, startCycle);
  }
}

/** The end of a worker, its pieces done and its first unit prefetched; `begun` from countBeginning. All four warps call it. */
template <class T, int D, bool kTimed, class Shared>
__device__ __forceinline__ void endWorker(const AttentionParams& p, const Shared& shared, const UnitRange& units, uint32_t begun, int warp,
                                          int lane, uint32_t startCycle) {
  if (units.start < units.end) {
    ptx::copyAsyncWaitAll();
    shared.sync();
    if (units.start < units.awaited) {
      const int next =
          mergeUnits<T, D, kTimed>(p, shared, shared.units->first.counted, units.start, units.awaited, p.mergePatience, warp, lane, startCycle);
      if (next < units.awaited) leaveUnits<T, D, kTimed>(p, shared, next, units.starters, startCycle);
    }
    mergeAwaited<T, D, kTimed>(p, shared, units, warp, lane, startCycle);
  }
  if (units.starters == 0) return;
  const bool isLast = shared.thread() == 0 && begun % kOneLeaver + 1 == units.starters;
  // Where nobody has left units before, nobody will: who would, finds that all have begun.
  if (isLast && begun >= kOneLeaver) ptx::addOrdered(p.progress, 0 - (begun + 1));
  else if (isLast) ptx::addRelaxed(p.progress, 0 - (begun + 1));
  if (shared.syncOr(isLast && begun >= kOneLeaver)) takeAllLeftUnits<T, D, kTimed>(p, shared, startCycle);
}

}  // namespace isochron
