// Which of the two workers that share a CTA of the tall kernel is first. Unit: one row of the worker table.
//
// They are half a line apart, so that neighbours, which read the same KV, work at the same time and every SM gets a like share of tall
// and of short pieces. Some CTAs begin with the second, so that some multiply while others read.
// Query tiles of a shared prefix read the same KV too, but lie anywhere on the line: read at the same time it comes from memory once, a
// worker later it is gone from L2. So workers that begin with the same KV of a prefix form a class, and the classes are first in their
// CTAs and second by turns. Measured: docs/performance.md.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "plan_records.h"
#include "plan_view.h"

namespace isochron {

/** CTAs with this bit in their number begin with the second worker, where there is no shared prefix. */
constexpr int32_t kOrderBit = 8;
/** Pieces that begin within so many tokens begin with the same KV. */
constexpr int32_t kSameStart = 1024;

/** Kept between plans so that ordering allocates nothing. */
struct PairScratch {
  std::vector<uint64_t> classes;
  std::vector<int32_t> classOfRow;  // −1: the worker has no tall piece of a prefix
};

/** Class of each of the first `rows` rows of the table, in the order in which they come. False where there is none. */
inline bool classify(const PlanView& plan, const PieceRecord* pieces, int32_t rows, const WorkerRecord* table, PairScratch& scratch) {
  auto& [classes, classOfRow] = scratch;
  classes.clear();
  classOfRow.assign(rows, -1);
  for (int32_t row = 0; row < rows && plan[header::groupCount] > 0; row++) {
    for (int32_t i = table[row].start; i < table[row].end; i++) {
      const PieceRecord& piece = pieces[i];
      if (!piece.tall() || piece.memberCount == 0) continue;
      const uint64_t group = uint32_t(plan.piece(i)[piece::request]);
      const uint64_t key = group << 40 | uint64_t(piece.head) << 24 | uint64_t(piece.kvStart / kSameStart);
      const auto known = std::find(classes.begin(), classes.end(), key);
      classOfRow[row] = int32_t(known - classes.begin());
      if (known == classes.end()) classes.push_back(key);
      break;
    }
  }
  return !classes.empty();
}

/** Puts the first 2 × `pairs` rows of the table in order: CTA c does rows c and c + pairs. */
inline void orderPairs(const PlanView& plan, const PieceRecord* pieces, int32_t pairs, PairScratch& scratch, WorkerRecord* table) {
  const bool sharesPrefix = classify(plan, pieces, 2 * pairs, table, scratch);
  for (int32_t c = 0; c < pairs; c++) {
    bool secondFirst = (c & kOrderBit) != 0;
    if (sharesPrefix) {
      const int32_t first = scratch.classOfRow[c], second = scratch.classOfRow[c + pairs];
      secondFirst = first >= 0 ? first % 2 == 1 : second >= 0 && second % 2 == 0;
    }
    if (secondFirst) std::swap(table[c], table[c + pairs]);
  }
}

}  // namespace isochron
