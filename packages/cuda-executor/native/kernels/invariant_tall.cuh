// The batch-invariant kernel for plans with taller tiles on Hopper: tall_kernel.cuh, with a node for each chunk.
//
// A chunk of a tall tile is a fresh start of the softmax (takeTallTiles), its node is climbed with where it lies, in the
// accumulators, and waits in global memory. Chunks of prompts are 4,096 tokens and more, so their nodes are few.
#pragma once
#include "invariant.cuh"
#include "tall_kernel.cuh"

namespace isochron {

/** Bytes of each warpgroup's stack: what the ring leaves of an SM's shared memory. */
constexpr int kTallStackBytes = 15360;
static_assert(kTallStackBytes >= kWarps * (kStackEntries - kCombineRows) * 128 * 4);

#if ISOCHRON_WARPGROUP

/** As consumeTiles of tall_kernel.cuh, with a node for each chunk. `nodes`: the warpgroup's own. */
template <class T, int D, bool kTimed>
__device__ __forceinline__ void consumeChunks(const CanonicalParams& c, bool boxes, Canonical<WarpgroupMemory>& shared, uint8_t* nodes, const RecordTable& records,
                                             int recordCount, const WorkerPair& workers, RingReader<D>& reader, uint32_t startCycle) {
  const AttentionParams& p = c.attention;
  const int group = threadIdx.x >> 7, warp = (threadIdx.x >> 5) & (kWarps - 1), lane = threadIdx.x & 31;
  uint32_t cycles[4] = {};
  RowBlock<T, D> block;
  PieceWalk at(records);
  const auto isMine = [&](const PieceWalk& walk) { return records[walk.record].tall() || int(walk.ordinal & 1) == group; };
  const auto tilesOf = [](const PieceRecord& piece) { return (piece.kvEnd - piece.kvStart + kTileTokens - 1) / kTileTokens; };
  const uint32_t queryTile = ptx::broadcast(ptx::sharedAddress(shared.combine) + warp * 16 * D * 2);
  const int rowBase = group * 64 + warp * 16;
  const auto isTall = [&](const PieceWalk& walk) { return walk.record < recordCount && records[walk.record].tall(); };
  const auto copyQuery = [&](const PieceWalk& walk) {
    copyTallQuery<T, D>(p, records[walk.record], records[walk.record].head + walk.head, rowBase, lane, queryTile);
  };
  const auto loadQuery = [&](const PieceWalk& walk) {
    if (walk.record < recordCount && !isTall(walk)) block.loadQuery(p, records[walk.record], records[walk.record].head + walk.head, 0, lane);
  };
  ptx::waitForPreviousLaunch();
  PieceWalk first = at;
  if (!isMine(first)) first.step(records, recordCount);
  loadQuery(first);
  if (isTall(first)) copyQuery(first);
#pragma unroll 1
  while (at.record < recordCount) {
    const PieceRecord& piece = records[at.record];
    if (!isMine(at)) {
      reader.pass(tilesOf(piece));
      at.step(records, recordCount);
      continue;
    }
    const ChunkRange chunks(c, piece);
    const int head = piece.head + at.head, firstSlot = chunks.slotOf(piece, at.head);
    shared.currentWorker = at.record < records.split ? workers.first : workers.second;
    uint64_t startNs = 0, endNs = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycles[0] = cycles[1] = clock() - startCycle;
    PieceWalk next = at;
    next.step(records, recordCount);
    if (next.record < recordCount && !isMine(next)) next.step(records, recordCount);
    const bool tall = piece.tall(), nextIsTall = isTall(next);
    // The next query is on its way a piece ahead, unless a short piece combines where it will lie.
    const bool copiesEarly = tall && nextIsTall;
    int token = piece.kvStart, slot = firstSlot, waiting = 0;
    if (tall) {
      const int rows = min(piece.validRows() - group * 64, 64);
      // Tokens before this one are visible to the warpgroup's rows.
      int last = piece.kvStart;
      if (rows > 0) last = p.causal ? min(locateRow(p, piece, head, group * 64 + rows - 1).position + 1, piece.kvEnd) : piece.kvEnd;
      takeTallQuery(p, piece, rowBase, lane, queryTile, block);
      if (copiesEarly) copyQuery(next);
      const int fenceFrom = boxes && piece.kvStart % kBoxTokens == 0 ? piece.kvLen : 0;
#pragma unroll 1
      for (int unit = chunks.from, size; unit < chunks.to; unit += size) {
        size = chunks.grid.sizeAt(unit);
        const int end = chunks.tokenEnd(unit + size, piece), chunkTiles = (end - token + kTileTokens - 1) / kTileTokens;
        const int mine = min(max(last - token + kTileTokens - 1, 0) / kTileTokens, chunkTiles);
        block.reset();
        takeTallTiles(p, block, reader, shared.barrier, fenceFrom, token, mine, chunkTiles, lane);
        token = end;
        const Climb climb(unit, size, chunks, slot < 0, waiting);
        const NodeStack<D> stack(c, nodes, kTallStackBytes, max(rows, 1), 2 * blockIdx.x + group);
        waiting = climb.left();
        if (climbRows<T, D>(stack, climb, block, warp * 16, lane)) {
          if (slot < 0) writeTallRows(p, piece, head, block, rowBase, lane);
          else writeRows<T, D>(p, piece, head, slot++, block.o, block.maximum, block.sum, rowBase, lane);
        }
      }
    } else {
      const NodeStack<D> stack(c, nodes, kTallStackBytes, piece.validRows(), 2 * blockIdx.x + group);
#pragma unroll 1
      for (int unit = chunks.from, size; unit < chunks.to; unit += size) {
        block.reset();
        size = chunks.grid.sizeAt(unit);
        const int end = chunks.tokenEnd(unit + size, piece);
#pragma unroll 1
        for (; token < end; token += kTileTokens) {
          const int first = token + warp * kWarpTokens;
          reader.waitKeys();
          reader.waitValues();
          if (first < block.anyHigh) block.takeTokens(p, reader.address(), warp * kWarpTokens, first, lane);
          reader.releaseKeys();
          reader.releaseValues();
        }
        const Climb climb(unit, size, chunks, slot < 0, waiting);
        waiting = climb.left();
        pushCombined<T, D>(p, shared, stack, piece, head, climb, slot, block, warp, lane);
        if (slot >= 0 && climb.isFinal) slot++;
      }
    }
    loadQuery(next);
    if constexpr (kTimed) endNs = ptx::globalTimerNs(), cycles[2] = clock() - startCycle;
    if (firstSlot >= 0) {
      if (tall) ptx::syncThreads(kBothGroups, kConsumerThreads);
      if (!tall || group == 0) announceSlot(p, piece, firstSlot, at.head, shared.thread());
    }
    if (nextIsTall && !copiesEarly) {
      shared.sync();
      copyQuery(next);
    }
    if constexpr (kTimed) {
      if (shared.thread() == 0 && (!tall || group == 0)) {
        cycles[3] = clock() - startCycle;
        p.pieceTrace[piece.firstPiece + at.head] = {startNs, endNs, ptx::smId(), workerOf(p, shared), {cycles[0], cycles[1], cycles[2], cycles[3]}};
      }
    }
    at.step(records, recordCount);
  }
}

#endif

/** As tallKernel. */
template <class T, int D, bool kTimed>
__global__ void __launch_bounds__(kTallThreads, 1)
    canonicalTallKernel(const __grid_constant__ CanonicalParams c, int workers, bool boxes, const __grid_constant__ CUtensorMap keyMap,
                        const __grid_constant__ CUtensorMap valueMap) {
#if ISOCHRON_WARPGROUP
  extern __shared__ __align__(1024) uint8_t sharedBytes[];
  using Shared = Canonical<WarpgroupMemory>;
  runTallCta<T, D, kTimed>(
      c.attention, sharedBytes, workers, boxes, &keyMap, &valueMap,
      [&](const WarpgroupMemory& shared, int group) {
        return Shared{shared, reinterpret_cast<float*>(sharedBytes + TallShape<D>::sharedBytes + group * kTallStackBytes)};
      },
      [&](Shared& shared, const RecordTable& records, int recordCount, const WorkerPair& pair, RingReader<D>& reader, uint32_t startCycle) {
        consumeChunks<T, D, kTimed>(c, boxes, shared, reinterpret_cast<uint8_t*>(shared.nodes), records, recordCount, pair, reader, startCycle);
      });
#endif
}

}  // namespace isochron
