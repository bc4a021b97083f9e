// Which jobs' merges wait for the rows themselves (kernels/awaited_rows.cuh), and in which units.
//
// Such a job is a decode's, or nearly: one merge of all rows of all its slots, at most 16 rows of at most 64 sources, or of 32 leaves of
// a canonical tree, and nothing else reads them. Then every word that its pieces write is read once, which keeps the promise that all
// words are unwritten between launches, whatever a hostile plan says. Sources of a job get places side by side. Unit: a part for each of
// an owner's four warps. Few owners and not all the workers that the job ends: who owns nothing leaves at once, and the next launch
// fills its ring.
#pragma once
#include <algorithm>
#include <vector>

#include "canonical_units.h"
#include "plan_records.h"
#include "plan_view.h"

namespace isochron {

/** A job that is cut: its merges may run once `arrivals` slots have been written. */
struct MergeJob {
  int32_t mergeStart = 0, mergeEnd = 0, arrivals = 0;
  int32_t awaitedPlace = -1;  // of its first source, where its merge waits for their rows and nothing is counted
  uint32_t leaves = 0;        // then, of a canonical tree: as MergeUnit::leaves
};

/**
 * Sources, or leaves of a tree with gaps between them, that a lane loads at once. More than 16: 8, so that fewer parts read small pieces
 * of many rows. Measured.
 */
inline int32_t awaitedLoads(int32_t width) { return width <= 16 ? 4 : 8; }

/** log₂ of the lanes that hold a part's columns, 4 each: a row's, or so many that all sources or leaves have room in the loads of 32 lanes. */
inline int32_t awaitedLanesLog2(int32_t headDim, int32_t width) {
  int32_t log2 = headDim == 64 ? 4 : 5;
  for (int32_t room = awaitedLoads(width); room < width; room *= 2) log2--;
  return log2;
}

/** Places: as many as slots, but where a slot feeds many jobs twice as many as workers, whose ends are what is cut else. */
inline int32_t awaitedPlaces(const int32_t* planHeader) {
  return std::min(planHeader[header::partialSlotCapacity], 2 * planHeader[header::workerCapacity]);
}

/** Nodes that a piece leaves for each head, as the kernel counts them; without a canonical tree one state. */
inline int32_t statesOf(const PlanView& plan, const PieceRecord& piece) {
  if (plan[header::mergeOrder] != int(MergeOrder::canonicalTree)) return 1;
  const ChunkGrid grid = ChunkGrid::of(plan[header::mergeGridTokens], int64_t(piece.qoLen) * plan[header::queryHeads]);
  return grid.nodeCount(grid.startOf(piece.kvStart), grid.endOf(std::max(piece.kvStart, piece.kvEnd - 1)));
}

/**
 * Finds the jobs whose merges wait for rows, as far as there are places, and says so in them and in their pieces. `nodes`: of a
 * canonical tree, else null.
 */
inline void awaitRows(const PlanView& plan, const NodePlaces* nodes, std::vector<MergeJob>& jobs, PieceRecord* pieces,
                      std::vector<int32_t>& pieceOfSlot) {
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
    const auto slotOf = [&](int32_t s) { return plan.source(s)[merge_source::slot]; };
    const auto isWholeRow = [&](int32_t s) { return plan.source(s)[merge_source::slotRow] == 0; };
    if (place + end - start > awaitedPlaces(plan.words) || end - start > kUnitSources || m[merge::rowCount] > kAwaitedRows) continue;
    const uint32_t leaves = nodes == nullptr ? 0 : leavesOf(plan, *nodes, m);
    if (nodes != nullptr && leaves == 0) continue;
    // The states of one piece after another, all of each; as many pieces as arrive, so none comes twice.
    bool isWhole = true;
    int32_t arrivals = 0;
    for (int32_t s = start; s < end && isWhole; arrivals++) {
      const int32_t at = pieceOfSlot[slotOf(s)], first = s;
      isWhole = at >= 0 && pieces[at].validRows() == m[merge::rowCount];
      for (const int32_t stateEnd = isWhole ? s + statesOf(plan, pieces[at]) : s; s < stateEnd && isWhole; s++) {
        isWhole = s < end && isWholeRow(s) && slotOf(s) == slotOf(first) + s - first;
      }
    }
    if (!isWhole || arrivals != job.arrivals) continue;
    job.awaitedPlace = place;
    job.leaves = leaves;
    for (int32_t s = start; s < end;) {
      PieceRecord& piece = pieces[pieceOfSlot[slotOf(s)]];
      const int32_t states = statesOf(plan, piece);
      piece.job = kFirstAwaited - j;
      piece.slotJobStart = place;
      place += states;
      s += states;
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
  int32_t width = sources;
  if (job.leaves != 0) {
    for (width = 4; width < 32 && job.leaves >> width != 0;) width *= 2;
  }
  const int32_t lanesLog2 = awaitedLanesLog2(plan[header::headDim], width), slices = plan[header::headDim] >> (lanesLog2 + 2);
  const int32_t parts = m[merge::rowCount] * slices, most = partsOfOwner(slices);
  const int32_t units = std::max(1, std::min(finisherCount, (parts + most - 1) / most));
  AwaitedUnit unit{job.mergeStart, plan.request(m[merge::request])[request::queryStart], m[merge::head], m[merge::rowStart],
                   job.awaitedPlace, sources, awaitedLoads(width), lanesLog2, 0, 0, job.leaves, {}};
  for (int32_t u = 0; u < units; u++) {
    unit.firstPart = parts * u / units;
    unit.parts = parts * (u + 1) / units - unit.firstPart;
    visit(unit, u, units);
  }
}

}  // namespace isochron
