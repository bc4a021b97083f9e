// The kernel for plans with taller tiles on Hopper: one CTA an SM does the pieces of two workers, one after the other.
//
// Workers lie on a line of all jobs, on which neighbours read the same KV, and tall pieces lie apart from short ones. So a CTA's
// two workers are half a line apart: neighbours work at the same time, and what one reads the others find in L2; and every SM
// gets a like share of tall and of short pieces. Some CTAs begin with the second worker, so that some multiply while others read.
// A producer warpgroup copies KV tiles into a ring, straight across pieces; two consumer warpgroups take them (tall.cuh).
// Pieces of more than 64 rows: both, 64 each. Others in turn, each alone, so that one's beginning, writing and merging hide behind the
// other's tiles: tall ones as above, those of 16-row tiles exactly as the kernel for short pieces does it.
#pragma once
#include "attention.cuh"
#include "tall.cuh"
#include "tall_producer.cuh"

namespace isochron {

constexpr int kTallThreads = 3 * kThreads;
constexpr int kConsumerThreads = 2 * kThreads;
constexpr int kBothGroups = 3;  // the barrier of both consumer warpgroups
/** A producer's and two consumers' together: at most the 3 × 168 of the launch, else warps wait for registers for ever. */
constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;

#if ISOCHRON_WARPGROUP

/** The workers of a CTA, rows of the table, in its order (pair_order.h); those beyond the pairs are neighbours. */
struct WorkerPair {
  uint32_t first, second;

  static __device__ __forceinline__ WorkerPair of(const AttentionParams& p) {
    const uint32_t c = blockIdx.x, pairs = p.pairs;
    return c < pairs ? WorkerPair{c, c + pairs} : WorkerPair{2 * c, 2 * c + 1};
  }
};

/** A piece in the order of both workers' records, of which there are `recordCount`. */
struct PieceWalk {
  const PieceRecord* piece;  // null behind the last
  int record = 0, head = 0;  // head: of the record's
  uint32_t ordinal = 0;      // pieces before it

  explicit __device__ __forceinline__ PieceWalk(const RecordTable& records) : piece(&records[0]) {}
  __device__ __forceinline__ void step(const RecordTable& records, int recordCount) {
    ordinal++;
    if (++head < piece->headCount) return;
    head = 0, record++;
    piece = record < recordCount ? &records[record] : nullptr;
  }
};

/** Whether both consumer warpgroups do a piece: it has rows for each. */
__device__ __forceinline__ bool forBoth(const PieceRecord& piece) { return piece.validRows() > 64; }

/** Consumers: all pieces. */
template <class T, int D, bool kTimed>
__device__ __forceinline__ void consumeTiles(const AttentionParams& p, bool boxes, WarpgroupMemory& shared, const RecordTable& records,
                                             int recordCount, const WorkerPair& workers, RingReader<D>& reader, uint32_t startCycle) {
  const int group = threadIdx.x >> 7, warp = (threadIdx.x >> 5) & (kWarps - 1), lane = threadIdx.x & 31;
  uint32_t cycles[4] = {};
  RowBlock<T, D> block;
  const uint32_t queryTile = ptx::broadcast(ptx::sharedAddress(shared.combine) + warp * 16 * D * 2);
  const auto isMine = [&](const PieceWalk& walk) { return forBoth(*walk.piece) || int(walk.ordinal & 1) == group; };
  const auto rowBaseOf = [&](const PieceRecord& piece) { return (forBoth(piece) ? group * 64 : 0) + warp * 16; };
  // A tall piece's, a piece ahead: whether it is on its way.
  const auto copyQuery = [&](const PieceWalk& walk) {
    if (walk.piece == nullptr || !isMine(walk)) return true;
    if (!walk.piece->tall()) return false;
    copyTallQuery<T, D>(p, *walk.piece, walk.piece->head + walk.head, rowBaseOf(*walk.piece), lane, queryTile);
    return true;
  };
  const auto fetchQuery = [&](const PieceWalk& walk) {
    if (!copyQuery(walk)) block.loadQuery(p, *walk.piece, walk.piece->head + walk.head, 0, lane);
  };
  PieceWalk at(records);
  ptx::waitForPreviousLaunch();
  fetchQuery(at);
#pragma unroll 1
  while (at.piece != nullptr) {
    const PieceRecord& piece = *at.piece;
    const int tiles = (piece.kvEnd - piece.kvStart + kTileTokens - 1) / kTileTokens;
    const int head = piece.head + at.head, slot = piece.slot < 0 ? -1 : piece.slot + at.head;
    const bool tall = piece.tall(), both = forBoth(piece);
    PieceWalk next = at;
    next.step(records, recordCount);
    if (!isMine(at)) {
      fetchQuery(next);
      reader.pass(tiles);
      at = next;
      continue;
    }
    shared.currentWorker = at.record < records.split ? workers.first : workers.second;
    uint64_t startNs = 0, endNs = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycles[0] = clock() - startCycle;
    block.reset();
    if (tall) {
      const int rowBase = rowBaseOf(piece), rows = min(piece.validRows(), rowBase - warp * 16 + 64);
      const int last = p.causal ? positionOf(p, piece, rows - 1) + 1 : piece.kvEnd;
      const int mine = max(0, (min(last, piece.kvEnd) - piece.kvStart + kTileTokens - 1) / kTileTokens);
      takeTallQuery(p, piece, rowBase, lane, queryTile, block);
      const bool isFetched = copyQuery(next);
      const int fenceFrom = boxes && piece.kvStart % kBoxTokens == 0 ? piece.kvLen : 0;
      takeTallTiles(p, block, reader, shared.barrier, fenceFrom, piece.kvStart, mine, tiles, lane);
      if constexpr (kTimed) cycles[1] = clock() - startCycle;
      if (!isFetched) fetchQuery(next);
      if (slot >= 0) writeRows<T, D>(p, piece, head, slot, block.o, block.maximum, block.sum, rowBase, lane);
      else writeTallRows(p, piece, head, block, rowBase, lane);
    } else {
      int token = piece.kvStart + warp * kWarpTokens;
#pragma unroll 1
      for (int i = 0; i < tiles; i++, token += kTileTokens) {
        reader.waitKeys();
        reader.waitValues();
        if (token < block.anyHigh) block.takeTokens(p, reader.address(), warp * kWarpTokens, token, lane);
        reader.releaseKeys();
        reader.releaseValues();
      }
      if constexpr (kTimed) cycles[1] = clock() - startCycle;
      writeCombined<T, D>(p, shared, piece, head, slot, block, warp, lane);
      fetchQuery(next);
    }
    if constexpr (kTimed) endNs = ptx::globalTimerNs(), cycles[2] = clock() - startCycle;
    if (slot >= 0) {
      if (both) ptx::syncThreads(kBothGroups, kConsumerThreads);
      else if (tall) shared.sync();
      if (!both || group == 0) announceSlot(p, piece, slot, at.head, shared.thread());
    }
    if constexpr (kTimed) {
      if (shared.thread() == 0 && (!both || group == 0)) {
        cycles[3] = clock() - startCycle;
        p.pieceTrace[piece.firstPiece + at.head] = {startNs, endNs, ptx::smId(), workerOf(p, shared), {cycles[0], cycles[1], cycles[2], cycles[3]}};
      }
    }
    at = next;
  }
}

/** The end of one of the CTA's workers, by the consumer warpgroup of its number. Out of line: nothing waits for it to begin. */
template <class T, int D, bool kTimed, class Shared>
__device__ __noinline__ void endTallWorker(const AttentionParams& p, const Shared shared, const UnitRange& units, uint32_t begun,
                                           uint32_t startCycle) {
  endWorker<T, D, kTimed>(p, shared, units, begun, (threadIdx.x >> 5) & (kWarps - 1), threadIdx.x & 31, startCycle);
}

/**
 * A CTA of a kernel with a producer and two consumers, from beginning to end. `describe` makes what a consumer warpgroup shares, given
 * the part that every kernel has; `consume` does all pieces.
 */
template <class T, int D, bool kTimed, class Describe, class Consume>
__device__ __forceinline__ void runTallCta(const AttentionParams& p, uint8_t* sharedBytes, int workers, bool boxes, const CUtensorMap* keyMap,
                                           const CUtensorMap* valueMap, Describe&& describe, Consume&& consume) {
  constexpr int stages = TallShape<D>::stages;
  __shared__ uint64_t barriers[2 * kBarriersPerStage * stages];
  __shared__ UnitMemory nearbyUnits[2];
  __shared__ UnitRange ranges[2];  // held here, not in registers, while tiles are consumed
  uint8_t* const combine = sharedBytes + TallShape<D>::ringBytes;
  uint8_t* const states = combine + 2 * TallShape<D>::combineBytes;
  PieceRecord* const nearby = reinterpret_cast<PieceRecord*>(states + 2 * Shape<D>::stateBytes);
  const uint32_t ring = ptx::sharedAddress(sharedBytes), full = ptx::sharedAddress(barriers), empty = full + stages * kStageBarrierBytes;
  uint32_t startCycle = 0;
  if constexpr (kTimed) startCycle = clock();
  ptx::allowNextLaunch();
  const WorkerPair pair = WorkerPair::of(p);
  const auto startOf = [&](uint32_t worker) { return int(worker) < workers ? p.workers[worker].start : 0; };
  const auto countOf = [&](uint32_t worker) { return int(worker) < workers ? max(0, p.workers[worker].end - p.workers[worker].start) : 0; };
  const int start = startOf(pair.first), split = countOf(pair.first), recordCount = split + countOf(pair.second);
  if (recordCount <= 0) return;
  const RecordTable records{nearby, p.pieces + start, min(recordCount, kTallNearbyRecords), split, startOf(pair.second) - start - split};
  constexpr int quads = sizeof(PieceRecord) / 16;
  for (int i = threadIdx.x; i < records.count * quads; i += kTallThreads) {
    const int from = i < split * quads ? i : i + records.gap * quads;
    reinterpret_cast<uint4*>(nearby)[i] = __ldg(reinterpret_cast<const uint4*>(records.all) + from);
  }
  if (threadIdx.x == 0) {
    for (int s = 0; s < kBarriersPerStage * stages; s++) {
      ptx::barrierInit(full + s * 8, boxes ? BoxProducer<D>::arrivals : RowProducer<D>::arrivals);
      ptx::barrierInit(empty + s * 8, kConsumerThreads);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x >= kConsumerThreads) {
    ptx::keepRegisters<kProducerRegisters>();
    if (boxes) BoxProducer<D>(p, records, recordCount, keyMap, valueMap, ring, full, empty).copyAll();
    else RowProducer<D>(p, records, recordCount, ring, full, empty).copyAll();
  } else {
    ptx::takeRegisters<kConsumerRegisters>();
    const int group = threadIdx.x >> 7;
    auto shared = describe(WarpgroupMemory{{ring, reinterpret_cast<float*>(combine + group * TallShape<D>::combineBytes),
                                            reinterpret_cast<float2*>(states + group * Shape<D>::stateBytes), nearby, nearbyUnits + group},
                                           1 + group, group == 0 ? pair.first : pair.second},
                           group);
    RingReader<D> reader(ring, full, empty);
    uint32_t begun = 0;
    const bool hasPieces = group == 0 ? split > 0 : split < recordCount;
    if (hasPieces) {
      const UnitRange units = UnitRange::of(p, p.workers[shared.currentWorker]);
      prefetchUnit(p, shared.units, units, shared.thread());
      if (shared.thread() == 0) ranges[group] = units;
      ptx::waitForPreviousLaunch();
      begun = countBeginning(p, units, shared.thread());
    }
    consume(shared, records, recordCount, pair, reader, startCycle);
    shared.currentWorker = group == 0 ? pair.first : pair.second;
    if (hasPieces) {
      shared.sync();
      endTallWorker<T, D, kTimed>(p, shared, ranges[group], begun, startCycle);
    }
  }
}

#endif

/** `workers`: rows of the worker table. `boxes`: the copy engine can copy the cache, which the maps describe. */
template <class T, int D, bool kTimed>
__global__ void __launch_bounds__(kTallThreads, 1) tallKernel(const __grid_constant__ AttentionParams p, int workers, bool boxes,
                                                              const __grid_constant__ CUtensorMap keyMap, const __grid_constant__ CUtensorMap valueMap) {
#if ISOCHRON_WARPGROUP
  extern __shared__ __align__(1024) uint8_t sharedBytes[];
  runTallCta<T, D, kTimed>(
      p, sharedBytes, workers, boxes, &keyMap, &valueMap, [](const WarpgroupMemory& shared, int) { return shared; },
      [&](WarpgroupMemory& shared, const RecordTable& records, int recordCount, const WorkerPair& pair, RingReader<D>& reader, uint32_t startCycle) {
        consumeTiles<T, D, kTimed>(p, boxes, shared, records, recordCount, pair, reader, startCycle);
      });
#endif
}

}  // namespace isochron
