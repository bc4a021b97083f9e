// Merges as units that any worker can do, and which worker does which.
//
// Most jobs' units wait for rows: awaited_units.h. Of the others, whose slots are counted, a unit is what four warps load in one trip to L2 (some rows of a merge, or a quarter of the columns of one row of very many
// sources), so a job that is cut into many pieces is merged by many workers at once. A worker does its units when it has
// done its pieces; it waits for the slots of a unit's job. Where a job's pieces end workers, those workers do it: they are
// there when its last slot is written. The rest goes to the workers in turn. Where one unit is the whole job and nobody else has a
// part of it, each of those workers has the unit, and the one that counts its slot last does it, without waiting. Rows combine
// their sources in the plan's order.
#pragma once
#include <algorithm>
#include <vector>

#include "awaited_units.h"
#include "plan_records.h"
#include "plan_view.h"

namespace isochron {

/** Units by which merges are divided, at most; for each worker. */
constexpr int64_t kDivisionsOfWorker = 4;

/** Units that a plan may have: one for each merge, those by which merges are divided, and a worker's copy of one. */
inline int64_t unitCapacity(const int32_t* planHeader) {
  return int64_t(planHeader[header::mergeCapacity]) + (kDivisionsOfWorker + 1) * int64_t(planHeader[header::workerCapacity]);
}

/** Kept between plans so that listing units allocates nothing. */
struct UnitScratch {
  std::vector<int32_t> finisherIndptr, finishers, next, owners;
  std::vector<UnitRecord> units;
};

/** Rows of a unit whose rows have this many sources: 64 partial rows, or one row. */
inline int32_t unitRows(int32_t sources) { return sources <= 4 ? 16 : sources <= 8 ? 8 : sources <= 16 ? 4 : 1; }
/** Columns of one row of very many sources are divided among so many units. */
inline int32_t unitSlices(int32_t sources) { return sources > kUnitSources ? kSlices : 1; }
/** Units of a merge, each of the rows of `coarseness` trips. */
inline int32_t unitsOf(const int32_t* m, int32_t coarseness) {
  const int32_t sources = m[merge::sourceEnd] - m[merge::sourceStart], step = unitRows(sources) * coarseness;
  return (m[merge::rowCount] + step - 1) / step * (coarseness == 1 ? unitSlices(sources) : 1);
}

/** Where the states of a merge's sources are: two runs of slots, or else a list. */
inline void describeSources(const PlanView& plan, const int32_t* m, MergeUnit& unit) {
  const int32_t start = m[merge::sourceStart];
  const int64_t rowsOfSlot = plan[header::slotRows];
  const auto rowOf = [&](int s) {
    const int32_t* source = plan.source(start + s);
    return source[merge_source::slot] * rowsOfSlot + source[merge_source::slotRow];
  };
  unit.sources = m[merge::sourceEnd] - start;
  unit.list = -1;
  unit.firstRun = unit.sources;
  const int64_t firstRow = rowOf(0);
  int64_t secondRow = 0;
  for (int s = 1; s < unit.sources; s++) {
    const int64_t row = rowOf(s);
    if (row == (s < unit.firstRun ? firstRow : secondRow) + s * rowsOfSlot) continue;
    secondRow = row - s * rowsOfSlot;
    if (unit.firstRun < unit.sources || secondRow < INT32_MIN) {
      unit.list = start;
      return;
    }
    unit.firstRun = s;
  }
  unit.firstRow = int32_t(firstRow);
  unit.secondRow = int32_t(secondRow);
}

/** Hands out a job's units: to the workers that it ends, evenly; the rest to all that have pieces, in turn. */
struct UnitDealer {
  const WorkerRecord* table;
  int32_t workers, turn = 0;

  int32_t owner(const int32_t* finishers, int32_t finisherCount, int32_t index, int32_t units) {
    if (index < finisherCount) return finishers[units >= finisherCount ? index : int64_t(index) * finisherCount / units];
    // Who has no pieces is gone before anybody could tell it that slots are there.
    do {
      turn = turn + 1 < workers ? turn + 1 : 0;
    } while (table[turn].start >= table[turn].end);
    return turn;
  }
};

/** How many times as large as one trip units are, so that they have room. */
inline int32_t coarsenessOf(const PlanView& plan) {
  int64_t divisions = 0;
  for (int i = 0; i < plan[header::mergeCount]; i++) divisions += unitsOf(plan.merge(i), 1) - 1;
  const int64_t room = std::max<int64_t>(kDivisionsOfWorker * plan[header::workerCapacity], 1);
  return int32_t(std::min<int64_t>(std::max<int64_t>((divisions + room - 1) / room, 1), 1 << 15));
}

/** Finds the workers that each job ends: those whose last piece feeds that job alone. */
inline void findFinishers(const PlanView& plan, const PieceRecord* pieces, const WorkerRecord* table, UnitScratch& scratch) {
  const int32_t workers = plan[header::workers], jobCount = plan[header::splitJobCount];
  const auto lastJob = [&](int w) { return table[w].start < table[w].end ? jobOf(pieces[table[w].end - 1]) : -1; };
  auto& indptr = scratch.finisherIndptr;
  indptr.assign(jobCount + 1, 0);
  for (int w = 0; w < workers; w++) {
    if (lastJob(w) >= 0) indptr[lastJob(w) + 1]++;
  }
  for (int j = 0; j < jobCount; j++) indptr[j + 1] += indptr[j];
  scratch.finishers.resize(indptr[jobCount]);
  scratch.next.assign(indptr.begin(), indptr.end());
  for (int w = 0; w < workers; w++) {
    if (lastJob(w) >= 0) scratch.finishers[scratch.next[lastJob(w)]++] = w;
  }
}

/** Calls `visit` with each unit of a merge; `unit` has what they have in common. */
template <class Visit>
inline void forEachUnit(const int32_t* m, MergeUnit unit, int32_t coarseness, Visit&& visit) {
  const int32_t rows = m[merge::rowCount];
  const int32_t step = int32_t(std::min<int64_t>(int64_t(unitRows(unit.sources)) * coarseness, rows));
  const int32_t slices = coarseness == 1 ? unitSlices(unit.sources) : 1;
  for (int row = 0; row < rows; row += step) {
    for (int slice = 0; slice < slices; slice++) {
      unit.rowStart = m[merge::rowStart] + row;
      unit.rowCount = std::min(step, rows - row);
      unit.rowOffset = row;
      unit.slice = slices > 1 ? slice : -1;
      visit(unit);
    }
  }
}

/** Puts the scratch's units, the first `counted` by count, behind each other by worker, in order, and tells the workers where. */
inline void placeUnits(const PlanView& plan, int32_t capacity, int32_t counted, int32_t starters, UnitScratch& scratch, WorkerRecord* table,
                       UnitRecord* out) {
  const int32_t workers = plan[header::workers], count = int32_t(scratch.units.size());
  auto& next = scratch.next;
  next.assign(workers + 1, capacity - count);
  for (const int32_t owner : scratch.owners) next[owner + 1]++;
  for (int w = 0; w < workers; w++) next[w + 1] += next[w] - (capacity - count);
  for (int w = 0; w < plan[header::workerCapacity]; w++) {
    table[w].unitStart = next[std::min(w, workers)];
    table[w].unitEnd = next[std::min(w + 1, workers)];
    table[w].awaitedStart = table[w].unitStart;
    table[w].starters = starters;
  }
  for (int32_t u = 0; u < count; u++) {
    out[next[scratch.owners[u]]++] = scratch.units[u];
    if (u < counted) table[scratch.owners[u]].awaitedStart++;
  }
}

/**
 * Lists the units of a checked plan behind each other at `out` + capacity − count, by worker, and tells the workers. Returns their
 * number. `lastMerges`: whoever writes a worker's last piece also ends that worker. `describe` completes a merge's unit with where
 * its sources are. Sets `needsList` where that is a list.
 */
template <class Describe>
inline int32_t listMergeUnits(const PlanView& plan, const std::vector<MergeJob>& jobs, PieceRecord* pieces, int32_t capacity, bool lastMerges,
                              WorkerRecord* table, UnitScratch& scratch, UnitRecord* out, Describe&& describe, bool& needsList) {
  const int32_t workers = plan[header::workers], jobCount = plan[header::splitJobCount], coarseness = coarsenessOf(plan);
  findFinishers(plan, pieces, table, scratch);
  scratch.units.clear();
  scratch.owners.clear();
  UnitDealer dealer{table, workers};
  bool someWait = false;
  // A worker's first unit is the one that it does if it counts last.
  for (const bool byLast : {true, false}) {
    for (int j = 0; j < jobCount; j++) {
      const MergeJob& job = jobs[j];
      if (job.awaitedPlace >= 0) continue;
      const int32_t* finishers = scratch.finishers.data() + scratch.finisherIndptr[j];
      const int32_t finisherCount = scratch.finisherIndptr[j + 1] - scratch.finisherIndptr[j];
      int32_t jobUnits = 0, index = 0;
      for (int i = job.mergeStart; i < job.mergeEnd; i++) jobUnits += unitsOf(plan.merge(i), coarseness);
      if (byLast != (lastMerges && jobUnits == 1 && finisherCount == job.arrivals)) continue;
      someWait |= !byLast;
      for (int i = job.mergeStart; i < job.mergeEnd; i++) {
        const int32_t* m = plan.merge(i);
        const int32_t queryStart = plan.request(m[merge::request])[request::queryStart];
        MergeUnit common{j, job.arrivals, byLast ? 0 : jobUnits, i, queryStart, m[merge::head], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        describe(m, common);
        needsList |= common.list >= 0;
        forEachUnit(m, common, coarseness, [&](const MergeUnit& unit) {
          for (int copy = 0; copy < (byLast ? finisherCount : 1); copy++) {
            UnitRecord record;
            record.counted = unit;
            scratch.units.push_back(record);
            scratch.owners.push_back(byLast ? finishers[copy] : dealer.owner(finishers, finisherCount, index++, jobUnits));
          }
        });
      }
      for (int f = 0; byLast && f < finisherCount; f++) {
        WorkerRecord& worker = table[finishers[f]];
        pieces[worker.end - 1].job = kAtWorkersEnd;
        worker.first = pieces[worker.start];
      }
    }
  }
  const int32_t counted = int32_t(scratch.units.size());
  for (int j = 0; j < jobCount; j++) {
    if (jobs[j].awaitedPlace < 0) continue;
    someWait = true;
    const int32_t* finishers = scratch.finishers.data() + scratch.finisherIndptr[j];
    const int32_t finisherCount = scratch.finisherIndptr[j + 1] - scratch.finisherIndptr[j];
    forEachAwaitedUnit(plan, jobs[j], finisherCount, [&](const AwaitedUnit& unit, int32_t index, int32_t units) {
      UnitRecord record;
      record.awaited = unit;
      scratch.units.push_back(record);
      scratch.owners.push_back(dealer.owner(finishers, finisherCount, index, units));
    });
  }
  int32_t starters = 0;
  for (int w = 0; someWait && w < workers; w++) starters += table[w].start < table[w].end ? 1 : 0;
  placeUnits(plan, capacity, counted, starters, scratch, table, out);
  return int32_t(scratch.units.size());
}

}  // namespace isochron
