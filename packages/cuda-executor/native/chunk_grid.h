// The chunks of canonical merge trees and the nodes over them, as canonical-tree.ts has them; on the host and on the device.
#pragma once
#include <cstdint>

#include "plan_records.h"

namespace isochron {

/** Nodes that wait for a right sibling at a time, at most: one of what lies before the last power of two, and one of each size behind it. */
constexpr int kWaitingNodes = 8;

/** One of eight grids, by the request's query rows, those of all heads; 0 is the finest. */
struct ChunkGrid {
  int32_t unitTokens, coarseness;

  ISOCHRON_DEVICE static ChunkGrid of(int32_t gridTokens, int64_t requestRows) {
    int32_t coarseness = 0;
    while (coarseness < 7 && requestRows >> coarseness >= 256) coarseness++;
    // Units of the grids in units of the finest, 1, 2, 4, 4, 4, 16, 32 and 32: their logarithms, four bits each.
    return {gridTokens << ((0x55422210u >> (4 * coarseness)) & 15), coarseness};
  }
  /** Units of the chunk that a unit lies in: chunks in each doubling of the position are at most 64, times tiles of 128 rows 256. */
  ISOCHRON_DEVICE int32_t sizeAt(int32_t unit) const {
#ifdef __CUDA_ARCH__
    const int32_t power = unit == 0 ? 0 : 1 << (31 - __clz(unit));
#else
    const int32_t power = unit == 0 ? 0 : 1 << (31 - __builtin_clz(uint32_t(unit)));
#endif
    const int32_t size = power >> (coarseness < 2 ? 6 : 8 - coarseness), least = coarseness == 0 && unit >= 8 ? 2 : 1;
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
