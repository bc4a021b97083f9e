// What the kernel reads: the plan's records, each joined with the request fields that it would otherwise look up.
//
// Every dependent look-up costs a trip to L2 (about 0.3 µs, a tenth of a small launch), so a worker finds its first piece,
// complete, at an address that depends on its index alone. Same pieces, same merges, same order as in the plan; sections lie
// at offsets that depend on the capacities alone: merge units, which end where the workers begin, workers and pieces, of
// which the used range is copied; then lists of slots' jobs, sources and members, copied only for plans that need them.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "canonical_units.h"
#include "merge_units.h"
#include "pair_order.h"
#include "plan_records.h"
#include "plan_view.h"

namespace isochron {

/** Byte offsets of the image's sections. */
struct ImageLayout {
  int64_t units, workers, pieces, slotJobIndptr, slotJobs, sources, members, total;
};

inline ImageLayout imageLayout(const int32_t* planHeader) {
  int64_t end = 0;
  auto place = [&end](int64_t bytes) {
    const int64_t start = end;
    end += (bytes + 15) / 16 * 16;
    return start;
  };
  ImageLayout at{};
  at.units = place(unitCapacity(planHeader) * sizeof(UnitRecord));
  at.workers = place(int64_t(planHeader[header::workerCapacity]) * sizeof(WorkerRecord));
  at.pieces = place(int64_t(planHeader[header::pieceCapacity]) * sizeof(PieceRecord));
  at.slotJobIndptr = place((int64_t(planHeader[header::partialSlotCapacity]) + 1) * 4);
  at.slotJobs = place(int64_t(planHeader[header::mergeSourceCapacity]) * 4);
  at.sources = place(int64_t(planHeader[header::mergeSourceCapacity]) * sizeof(SourceRecord));
  at.members = place(int64_t(planHeader[header::groupMemberCapacity]) * sizeof(MemberRecord));
  at.total = end;
  return at;
}

/** Kept between plans so that building an image allocates nothing. */
struct ImageScratch {
  std::vector<MergeJob> jobs;
  std::vector<int32_t> slotLastJob, slotJobCount, pieceOfSlot;
  NodePlaces nodes;  // of canonical trees
  UnitScratch units;
  PairScratch pairs;
};

/** What to copy: units, workers and pieces in one range, and the lists where some piece or unit needs them (else empty). */
struct ImageUse {
  int64_t start, bytes, listStart, listBytes;
};

/**
 * Writes the image of a checked plan into `out` (imageLayout(…).total bytes). `lastMerges`: see listMergeUnits; `pairs`: of workers that
 * share a CTA, as orderPairs has it, 0 where each has its own.
 */
inline ImageUse buildImage(const PlanView& plan, const ImageLayout& at, bool lastMerges, int32_t pairs, ImageScratch& scratch, uint8_t* out) {
  const int32_t workerCapacity = plan[header::workerCapacity], workers = plan[header::workers];
  const int32_t packed = plan[header::packedHeads], slots = plan[header::partialSlotCount];
  auto* indptr = reinterpret_cast<int32_t*>(out + at.slotJobIndptr);
  auto* slotJobs = reinterpret_cast<int32_t*>(out + at.slotJobs);
  auto* sources = reinterpret_cast<SourceRecord*>(out + at.sources);
  auto* members = reinterpret_cast<MemberRecord*>(out + at.members);
  auto* pieces = reinterpret_cast<PieceRecord*>(out + at.pieces);
  auto* table = reinterpret_cast<WorkerRecord*>(out + at.workers);

  const bool isCanonical = plan[header::mergeOrder] == int(MergeOrder::canonicalTree);
  if (isCanonical) locateNodes(plan, scratch.nodes);
  // Jobs of each slot, in CSR form: two passes over the merges, counting each (slot, job) pair once.
  scratch.slotLastJob.assign(slots, -1);
  scratch.slotJobCount.assign(slots + 1, 0);
  auto& jobs = scratch.jobs;
  jobs.assign(plan[header::splitJobCount], {});
  auto forEachPair = [&](auto&& visit) {
    for (int i = 0; i < plan[header::mergeCount]; i++) {
      const int32_t* m = plan.merge(i);
      const int32_t job = m[merge::splitJob];
      for (int s = m[merge::sourceStart]; s < m[merge::sourceEnd]; s++) {
        const int32_t slot = plan.source(s)[merge_source::slot];
        if (scratch.slotLastJob[slot] == job || (isCanonical && scratch.nodes.isFirst[slot] == 0)) continue;
        scratch.slotLastJob[slot] = job;
        visit(slot, job);
      }
    }
  };
  forEachPair([&](int32_t slot, int32_t job) {
    scratch.slotJobCount[slot]++;
    jobs[job].arrivals++;
  });
  int32_t sum = 0;
  for (int s = 0; s < slots; s++) {
    indptr[s] = sum;
    sum += scratch.slotJobCount[s];
    scratch.slotJobCount[s] = indptr[s];
    scratch.slotLastJob[s] = -1;
  }
  indptr[slots] = sum;
  forEachPair([&](int32_t slot, int32_t job) { slotJobs[scratch.slotJobCount[slot]++] = job; });

  for (int i = 0; i < plan[header::mergeCount]; i++) {
    const int32_t* m = plan.merge(i);
    MergeJob& job = jobs[m[merge::splitJob]];
    if (job.mergeEnd == 0) job.mergeStart = i;
    job.mergeEnd = i + 1;
  }
  std::memcpy(sources, plan.source(0), size_t(plan[header::mergeSourceCount]) * sizeof(SourceRecord));

  for (int g = 0; g < plan[header::groupCount]; g++) {
    int32_t row = 0;
    for (int m = plan.groupIndptr()[g]; m < plan.groupIndptr()[g + 1]; m++) {
      const int32_t* r = plan.request(plan.groupMembers()[m]);
      members[m] = {row, r[request::queryStart], r[request::qoLen] * packed, 0};
      row += members[m].rows;
    }
  }

  int32_t firstPiece = 0;
  bool needsLists = false;
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const int32_t* p = plan.piece(i);
    const int32_t owner = p[piece::request];
    const bool group = owner < 0;
    const int32_t memberStart = group ? plan.groupIndptr()[-1 - owner] : 0;
    const int32_t memberCount = group ? plan.groupIndptr()[-owner] - memberStart : 0;
    const int32_t* r = plan.request(group ? plan.groupMembers()[memberStart] : owner);
    const int32_t kvEnd = p[piece::kvEnd] < r[request::kvLen] ? p[piece::kvEnd] : r[request::kvLen];
    const int32_t slot = p[piece::slot];
    PieceRecord& record = pieces[i];
    record = {r[request::queryStart], r[request::qoLen], r[request::kvLen], r[request::pageStart],
              p[piece::head], p[piece::headCount], p[piece::rowStart], p[piece::rows],
              // On a grid, tiles begin at multiples of their length; the mask hides tokens before the window.
              isCanonical ? p[piece::kvStart] / kKernelTileTokens * kKernelTileTokens : p[piece::kvStart], kvEnd > p[piece::kvStart] ? kvEnd : p[piece::kvStart], slot, firstPiece,
              memberStart, memberCount, slot < 0 ? 0 : indptr[slot], -1};
    if (slot >= 0 && record.headCount == 1 && indptr[slot + 1] == indptr[slot] + 1) {
      record.job = slotJobs[indptr[slot]];
    }
    needsLists |= group || (slot >= 0 && record.job < 0);
    firstPiece += record.headCount;
  }
  awaitRows(plan, isCanonical ? &scratch.nodes : nullptr, jobs, pieces, scratch.pieceOfSlot);
  const int32_t* workerPieces = plan.workerPieceIndptr();
  for (int w = 0; w < workerCapacity; w++) {
    const int32_t start = w < workers ? workerPieces[w] : 0, end = w < workers ? workerPieces[w + 1] : 0;
    table[w].start = start;
    table[w].end = end;
    table[w].worker = w;
    table[w].unitStart = table[w].awaitedStart = table[w].unitEnd = table[w].starters = 0;
    if (start < end) table[w].first = pieces[start];
  }
  const int32_t capacity = int32_t(unitCapacity(plan.words));
  auto* units = reinterpret_cast<UnitRecord*>(out + at.units);
  const auto describe = [&](const int32_t* m, MergeUnit& unit) {
    describeSources(plan, m, unit);
    if (isCanonical) describeTree(plan, scratch.nodes, m, sources, unit);
  };
  const int32_t unitCount = listMergeUnits(plan, jobs, pieces, capacity, lastMerges, table, scratch.units, units, describe, needsLists);
  if (2 * pairs <= workerCapacity) orderPairs(plan, pieces, pairs, scratch.pairs, table);
  const int64_t start = at.units + int64_t(capacity - unitCount) * int64_t(sizeof(UnitRecord));
  const int64_t end = at.pieces + int64_t(plan[header::pieceRecordCount]) * int64_t(sizeof(PieceRecord));
  return {start, end - start, at.slotJobIndptr, needsLists ? at.total - at.slotJobIndptr : 0};
}

}  // namespace isochron
