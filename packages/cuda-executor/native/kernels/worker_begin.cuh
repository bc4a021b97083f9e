// How a worker begins: its first KV tiles are on their way before the previous launch is done, and its first query as soon as it is.
//
// What the launch before may still write (queries, outputs, the newest KV tokens, slots) is left alone until then. Plan and page table
// were uploaded before it began.
#pragma once
#include "merge_units.cuh"
#include "row_block.cuh"
#include "tile_queue.cuh"

namespace isochron {

/**
 * Fills a worker's ring, as far as it has tiles, and loads the first query into `block`. `cursor` is left at the next tile to be copied:
 * tile `stages` where `isFull`, else tile `lookahead`. Returns what countBeginning said.
 */
template <bool kTall, class T, int D>
__device__ __forceinline__ uint32_t beginWorker(const AttentionParams& p, const SharedMemory& shared, const WorkerRecord& worker,
                                                const RecordTable& records, int recordCount, const UnitRange& units, uint64_t policyOnce,
                                                uint64_t policyShared, int warp, int lane, TileQueue<D>& cursor, RowBlock<T, D>& block, bool& isFull) {
  constexpr int stages = Shape<D>::stages, lookahead = Shape<D>::lookahead;
  cursor.record = 0;
  cursor.recordCount = recordCount;
  cursor.ids = ptx::sharedAddress(shared.pageIds + warp * kIdTiles * kWarpTokens);
  cursor.enter(worker.first);
  const bool startsEmpty = cursor.token >= cursor.kvEnd;
  cursor.ahead[0] = cursor.locate(p, warp, lane);
  int page = cursor.lookUp(p, 0);
  constexpr int quads = sizeof(PieceRecord) / 16;
  uint4* table = reinterpret_cast<uint4*>(shared.records + warp * kNearbyRecords);
  if (lane < quads) table[lane] = __ldg(reinterpret_cast<const uint4*>(&worker.first) + lane);
  for (int i = quads + lane; i < records.count * quads; i += 32) {
    table[i] = __ldg(reinterpret_cast<const uint4*>(records.all) + i);
  }
  __syncwarp();
  const PieceRecord* piece = records.nearby;
  if (startsEmpty) {
    cursor.skipEmpty(records);
    cursor.ahead[0] = cursor.locate(p, warp, lane);
    page = cursor.lookUp(p, 0);
  }
  block.prefetchQuery(p, *piece, piece->head, kTall && piece->tall() ? warp * 16 : 0, lane);
  // KV tokens before a request's new ones were written by earlier steps; tiles of those alone may come ahead of the wait. Where a
  // worker has more tiles than the ring holds, it is filled; the next tile is brought to L2.
  bool waited = p.historyIsReady == 0 || !cursor.ahead[0].onlyHistory;
  if (waited) ptx::waitForPreviousLaunch();
  if (cursor.ahead[0].live) {
    copyRows<D>(p, shared.ring, 0, cursor.offsetOf(p, page), warp, lane, cursor.ahead[0].streaming ? policyOnce : policyShared);
  }
#pragma unroll 1
  for (int i = 0; i <= stages; i++) {
    cursor.advance(records);
    cursor.append(p, warp, lane);
  }
  cursor.fetchIds(p, stages - 1, lane);
  ptx::copyAsyncCommit();
  isFull = false;
#pragma unroll 1
  for (int filled = 1; filled < stages; filled++) {
    // Looked up behind the copies of the tile before, which so come first on all SMs.
    cursor.keep(cursor.lookUp(p, 0), lane);
    if (filled == lookahead) {
      isFull = !kTall && cursor.ahead[1].live;
      if (!isFull) break;
    }
    if (!waited && !cursor.ahead[0].onlyHistory) {
      ptx::waitForPreviousLaunch();
      waited = true;
    }
    cursor.issue(p, records, shared.ring, filled, warp, lane, policyOnce, policyShared);
  }
  if (!waited) cursor.prefetch(p, lane);
  prefetchUnit(p, shared.units, units, shared.thread());
  if (!waited) ptx::waitForPreviousLaunch();
  const uint32_t begun = countBeginning(p, units, shared.thread());
  block.loadQuery(p, *piece, piece->head, kTall && piece->tall() ? warp * 16 : 0, lane);
  return begun;
}

}  // namespace isochron
