// How the sources of a merge lie in its canonical tree: as leaves of a small perfect tree, or as a list of folds.
#pragma once
#include <algorithm>
#include <vector>

#include "chunk_grid.h"
#include "plan_records.h"
#include "plan_view.h"

namespace isochron {

/** Nodes on the stack of a merge whose folds are listed, at most. */
constexpr int kStackEntries = 12;

/** First unit and units of the node in each slot; and whether the slot is the first of a piece's head, which announces it. */
struct NodePlaces {
  std::vector<int32_t> unit, size;
  std::vector<uint8_t> isFirst;
};

inline void locateNodes(const PlanView& plan, NodePlaces& places) {
  const int32_t slots = plan[header::partialSlotCount];
  places.unit.assign(slots, 0);
  places.size.assign(slots, 1);
  places.isFirst.assign(slots, 0);
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const int32_t* p = plan.piece(i);
    int32_t slot = p[piece::slot];
    if (slot < 0) continue;
    const ChunkGrid grid = chunkGrid(plan, p);
    const int32_t states = partialStates(plan, p), end = grid.endOf(p[piece::kvEnd] - 1);
    for (int h = 0; h < p[piece::headCount]; h++) {
      places.isFirst[slot] = 1;
      int32_t unit = grid.startOf(p[piece::kvStart]);
      for (int s = 0; s < states; s++, slot++) {
        places.unit[slot] = unit;
        places.size[slot] = grid.nodeSize(unit, end);
        unit += places.size[slot];
      }
    }
  }
}

/** Level at which nodes that begin at these units meet: the highest bit in which they differ; −1 where they are the same. */
inline int32_t meetingLevel(int32_t a, int32_t b) {
  int32_t level = -1;
  for (uint32_t x = uint32_t(a ^ b); x != 0; x >>= 1) level++;
  return level;
}

/**
 * The leaves that a merge's sources take in a perfect tree of 32, as bits, the first source's at the left end of what they
 * need; 0 where they need more. A source of several leaves takes the first: empty right siblings change nothing.
 */
inline uint32_t leavesOf(const PlanView& plan, const NodePlaces& places, const int32_t* m) {
  const auto slotOf = [&](int32_t s) { return plan.source(s)[merge_source::slot]; };
  const int32_t start = m[merge::sourceStart], end = m[merge::sourceEnd];
  int32_t leaf = places.size[slotOf(start)];
  for (int32_t s = start; s < end; s++) leaf = std::min(leaf, places.size[slotOf(s)]);
  const int64_t first = places.unit[slotOf(start)], last = int64_t(places.unit[slotOf(end - 1)]) + places.size[slotOf(end - 1)] - 1;
  int64_t root = leaf;
  while (first / root != last / root) root *= 2;
  if (root / leaf > 32) return 0;
  uint32_t leaves = 0;
  for (int32_t s = start; s < end; s++) {
    const int64_t at = (places.unit[slotOf(s)] - first / root * root) / leaf;
    // Sources of a hostile plan may lie in any order.
    if (at < 0 || at > 31 || leaves >> at != 0) return 0;
    leaves |= 1u << at;
  }
  return leaves;
}

/**
 * Notes with each source how many nodes it merges with, from the right, before the next one comes: a Cartesian tree over the
 * levels at which neighbours meet. The stack is as deep as nodes wait (kWaitingNodes) and two more; a hostile plan's is kept so.
 */
inline void listFolds(const PlanView& plan, const NodePlaces& places, const int32_t* m, SourceRecord* sources) {
  int32_t stack[kStackEntries];
  int depth = 0;
  for (int s = m[merge::sourceStart]; s < m[merge::sourceEnd]; s++) {
    int32_t folds = 0;
    stack[depth++] = places.unit[plan.source(s)[merge_source::slot]];
    const bool isLast = s + 1 == m[merge::sourceEnd];
    const int32_t next = isLast ? 0 : places.unit[plan.source(s + 1)[merge_source::slot]];
    while (depth > 1 && (isLast || depth == kStackEntries || meetingLevel(stack[depth - 2], stack[depth - 1]) <= meetingLevel(stack[depth - 1], next))) {
      depth--;
      folds++;
    }
    sources[s].slotRow |= folds << 16;
  }
}

/** Completes a unit whose sources are nodes: `leaves`, or the list of folds. */
inline void describeTree(const PlanView& plan, const NodePlaces& places, const int32_t* m, SourceRecord* sources, MergeUnit& unit) {
  unit.leaves = leavesOf(plan, places, m);
  if (unit.leaves != 0) return;
  unit.list = m[merge::sourceStart];
  listFolds(plan, places, m, sources);
}

}  // namespace isochron
