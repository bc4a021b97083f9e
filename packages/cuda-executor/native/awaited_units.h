// Which jobs' merges wait for the rows themselves (kernels/awaited_rows.cuh), and in which units.
//
// Such a job is a decode's, or nearly: one merge of all rows of all its slots, at most 16 rows of at most 64 sources, and nothing else
// reads them. Then every word that its pieces write is read once, which keeps the promise that all words are unwritten between
// launches, whatever a hostile plan says. Sources of a job get places side by side. Unit: a part for each of an owner's four warps.
// Few owners and not all the workers that the job ends: who owns nothing leaves at once, and the next launch fills its ring.
#pragma once
#include <algorithm>
#include <vector>

#include "plan_records.h"
#include "plan_view.h"

namespace isochron {

/** A job that is cut: its merges may run once `arrivals` slots have been written. */
struct MergeJob {
  int32_t mergeStart = 0, mergeEnd = 0, arrivals = 0;
  int32_t awaitedPlace = -1;  // of its first source, where its merge waits for their rows and nothing is counted
};

/** Sources that a lane loads at once. More than 16: 8, so that fewer parts read small pieces of many rows. Measured. */
inline int32_t awaitedLoads(int32_t sources) { return sources <= 16 ? 4 : 8; }

/** log₂ of the lanes that hold a part's columns, 4 each: a row's, or so many that all sources have room in the loads of 32 lanes. */
inline int32_t awaitedLanesLog2(int32_t headDim, int32_t sources) {
  int32_t log2 = headDim == 64 ? 4 : 5;
  for (int32_t room = awaitedLoads(sources); room < sources; room *= 2) log2--;
  return log2;
}

/** Places: as many as slots, but where a slot feeds many jobs twice as many as workers, whose ends are what is cut else. */
inline int32_t awaitedPlaces(const int32_t* planHeader) {
  return std::min(planHeader[header::partialSlotCapacity], 2 * planHeader[header::workerCapacity]);
}

/** Finds the jobs whose merges wait for rows, as far as there are places, and says so in them and in their pieces. */
inline void awaitRows(const PlanView& plan, std::vector<MergeJob>& jobs, PieceRecord* pieces, std::vector<int32_t>& pieceOfSlot) {
  pieceOfSlot.assign(plan[header::partialSlotCount], -1);
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const PieceRecord& piece = pieces[i];
    if (piece.slot >= 0 && piece.job >= 0 && piece.memberCount == 0 && !piece.tall()) pieceOfSlot[piece.slot] = i;
  }
  int32_t place = 0;
  for (int j = 0; j < plan[header::splitJobCount]; j++) {
    MergeJob& job = jobs[j];
    if (job.mergeEnd - job.mergeStart != 1) continue;
    const int32_t* m = plan.merge(job.mergeStart);
    const int32_t start = m[merge::sourceStart], end = m[merge::sourceEnd];
    // As many slots as sources: none comes twice.
    bool isWhole = place + end - start <= awaitedPlaces(plan.words) && end - start <= kUnitSources &&
                   end - start == job.arrivals && m[merge::rowCount] <= kAwaitedRows;
    for (int s = start; s < end && isWhole; s++) {
      const int32_t* source = plan.source(s);
      const int32_t at = pieceOfSlot[source[merge_source::slot]];
      isWhole = at >= 0 && source[merge_source::slotRow] == 0 && pieces[at].validRows() == m[merge::rowCount];
    }
    if (!isWhole) continue;
    job.awaitedPlace = place;
    for (int s = start; s < end; s++, place++) {
      PieceRecord& piece = pieces[pieceOfSlot[plan.source(s)[merge_source::slot]]];
      piece.job = kFirstAwaited - j;
      piece.slotJobStart = place;
    }
  }
}

/** The job that a piece feeds alone; −1 where there is none. */
inline int32_t jobOf(const PieceRecord& piece) { return piece.isAwaited() ? kFirstAwaited - piece.job : piece.job; }

/** Parts of an owner: one for each warp; of whole rows, which few sources have, two one after the other. Measured. */
inline int32_t partsOfOwner(int32_t slices) { return slices == 1 ? 8 : 4; }

/** Calls `visit` with each unit of an awaited job, its index and their number, which is no more than the workers that it ends, or 1. */
template <class Visit>
inline void forEachAwaitedUnit(const PlanView& plan, const MergeJob& job, int32_t finisherCount, Visit&& visit) {
  const int32_t* m = plan.merge(job.mergeStart);
  const int32_t sources = m[merge::sourceEnd] - m[merge::sourceStart];
  const int32_t lanesLog2 = awaitedLanesLog2(plan[header::headDim], sources), slices = plan[header::headDim] >> (lanesLog2 + 2);
  const int32_t parts = m[merge::rowCount] * slices, most = partsOfOwner(slices);
  const int32_t units = std::max(1, std::min(finisherCount, (parts + most - 1) / most));
  AwaitedUnit unit{job.mergeStart, plan.request(m[merge::request])[request::queryStart], m[merge::head], m[merge::rowStart],
                   job.awaitedPlace, sources, awaitedLoads(sources), lanesLog2, 0, 0, {}};
  for (int32_t u = 0; u < units; u++) {
    unit.firstPart = parts * u / units;
    unit.parts = parts * (u + 1) / units - unit.firstPart;
    visit(unit, u, units);
  }
}

}  // namespace isochron
