// The chunks of canonical merge trees and the nodes over them, as canonical-tree.ts has them; on the host and on the device.
#pragma once
#include <cstdint>

#include "plan_records.h"

namespace isochron {

/** Nodes that wait for a right sibling at a time, at most: one of what lies before the last power of two, and one of each size behind it. */
constexpr int kWaitingNodes = 8, kCoarseWaitingNodes = 3;

/** The grid of a request: fine up to 16 packed rows, else coarse. */
struct ChunkGrid {
  int32_t unitTokens;
  bool isCoarse;

  ISOCHRON_DEVICE static ChunkGrid of(int32_t gridTokens, int64_t requestRows) {
    return requestRows > 16 ? ChunkGrid{32 * gridTokens, true} : ChunkGrid{gridTokens, false};
  }
  /** Units of the chunk that a unit lies in. */
  ISOCHRON_DEVICE int32_t sizeAt(int32_t unit) const {
#ifdef __CUDA_ARCH__
    const int32_t power = unit == 0 ? 0 : 1 << (31 - __clz(unit));
#else
    const int32_t power = unit == 0 ? 0 : 1 << (31 - __builtin_clz(uint32_t(unit)));
#endif
    const int32_t size = isCoarse ? power / 2 : power / 64, least = isCoarse || unit < 8 ? 1 : 2;
    return size > least ? size : least;
  }
  /** The first unit of the chunk that a token lies in, and the first behind it. */
  ISOCHRON_DEVICE int32_t startOf(int32_t token) const {
    const int32_t unit = token / unitTokens;
    return unit & -sizeAt(unit);
  }
  ISOCHRON_DEVICE int32_t endOf(int32_t token) const {
    const int32_t start = startOf(token);
    return start + sizeAt(start);
  }
  /** Units of the largest node that starts at unit `at`, where a chunk does, and ends at or before `to`. */
  ISOCHRON_DEVICE int32_t nodeSize(int32_t at, int32_t to) const {
    int32_t size = sizeAt(at);
    while ((at & (2 * size - 1)) == 0 && at + 2 * size <= to) size *= 2;
    return size;
  }
  /** Nodes that cover units [from, to). */
  ISOCHRON_DEVICE int32_t nodeCount(int32_t from, int32_t to) const {
    int32_t count = 0;
    for (int32_t at = from; at < to; at += nodeSize(at, to)) count++;
    return count;
  }
};

}  // namespace isochron
