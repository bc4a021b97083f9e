// The kernel for plans with taller tiles on Hopper: one CTA an SM does the pieces of two workers, one after the other.
//
// A producer warpgroup copies KV tiles into a ring, straight across pieces; two consumer warpgroups take them (tall.cuh).
// Tall pieces: both, 64 rows each. 16-row pieces: in turn, each alone and exactly as the kernel for short pieces does it, so
// one's combining, writing and merging hide behind the other's tiles.
#pragma once
#include "attention.cuh"
#include "tall.cuh"

namespace isochron {

constexpr int kTallThreads = 3 * kThreads;
constexpr int kConsumerThreads = 2 * kThreads;
constexpr int kBothGroups = 3;  // the barrier of both consumer warpgroups
/** Together at most 65,536 / 128. */
constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;

#if ISOCHRON_WARPGROUP

/** Copies the KV tiles of all records, in order. Run by the four producer warps. */
template <class T, int D>
__device__ __forceinline__ void produceTiles(const AttentionParams& p, const RecordTable& records, int recordCount, uint32_t ring,
                                             uint32_t full, uint32_t empty) {
  constexpr int stages = TallShape<D>::stages;
  const int warp = (threadIdx.x >> 5) & (kWarps - 1), lane = threadIdx.x & 31;
  const uint64_t policyOnce = ptx::policyEvictFirst(), policyShared = ptx::policyEvictNormal();
  LoadCursor<D> cursor;
  cursor.record = 0;
  cursor.recordCount = recordCount;
  cursor.enter(records[0]);
  cursor.skipEmpty(records);
  cursor.next = cursor.lookUp(p, warp, lane);
  cursor.advance(p, records, warp, lane);
  bool waited = p.historyIsReady == 0;
  if (waited) ptx::waitForPreviousLaunch();
  int stage = 0;
  uint32_t parity = 1;  // a fresh barrier counts as past its phase of parity 1
#pragma unroll 1
  while (cursor.next.live) {
    if (!waited && !cursor.next.onlyHistory) {
      ptx::waitForPreviousLaunch();
      waited = true;
    }
    ptx::barrierWait(empty + stage * 8, parity);
    cursor.copy(p, ring, stage, warp, lane, policyOnce, policyShared);
    ptx::barrierArriveAfterCopies(full + stage * 8);
    cursor.next = cursor.afterNext;
    cursor.advance(p, records, warp, lane);
    if (++stage == stages) stage = 0, parity ^= 1;
  }
  ptx::copyAsyncWait<0>();
}

/** A piece in the order of both workers' records. */
struct PieceWalk {
  int record, head;  // head: of the record's
  uint32_t ordinal;  // pieces before it

  __device__ __forceinline__ void step(const RecordTable& records) {
    ordinal++;
    if (++head == records[record].headCount) head = 0, record++;
  }
};

/** Consumers: all pieces. */
template <class T, int D, bool kTimed>
__device__ __forceinline__ void consumeTiles(const AttentionParams& p, WarpgroupMemory& shared, const RecordTable& records,
                                             int recordCount, int firstRecords, RingReader<D>& reader, uint32_t startCycle) {
  const int group = threadIdx.x >> 7, warp = (threadIdx.x >> 5) & (kWarps - 1), lane = threadIdx.x & 31;
  const uint32_t firstWorker = 2 * blockIdx.x;
  uint32_t cycles[4] = {};
  RowBlock<T, D> block;
  PieceWalk at{0, 0, 0};
  const auto isMine = [&](const PieceWalk& walk) { return records[walk.record].tall() || int(walk.ordinal & 1) == group; };
  const auto tilesOf = [](const PieceRecord& piece) { return (piece.kvEnd - piece.kvStart + kTileTokens - 1) / kTileTokens; };
  const auto load = [&](const PieceWalk& walk) {
    const PieceRecord& piece = records[walk.record];
    if (piece.tall()) loadTallQuery(p, piece, piece.head + walk.head, group * 64 + warp * 16, lane, block);
    else block.loadQuery(p, piece, piece.head + walk.head, 0, lane);
  };
  ptx::waitForPreviousLaunch();
  if (!isMine(at)) {
    PieceWalk next = at;
    next.step(records);
    if (next.record < recordCount) load(next);
  } else {
    load(at);
  }
#pragma unroll 1
  while (at.record < recordCount) {
    const PieceRecord& piece = records[at.record];
    const int tiles = tilesOf(piece);
    if (!isMine(at)) {
      reader.pass(tiles);
      at.step(records);
      continue;
    }
    const int head = piece.head + at.head, slot = piece.slot < 0 ? -1 : piece.slot + at.head;
    shared.currentWorker = firstWorker + (at.record >= firstRecords);
    uint64_t startNs = 0, endNs = 0;
    if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycles[0] = clock() - startCycle;
    PieceWalk next = at;
    next.step(records);
    if (next.record < recordCount && !isMine(next)) next.step(records);
    const bool tall = piece.tall();
    block.reset();
    if (tall) {
      int mine = 0;
      const int rows = min(piece.validRows(), group * 64 + 64);
      if (rows > group * 64) {
        const int last = p.causal ? locateRow(p, piece, head, rows - 1).position + 1 : piece.kvEnd;
        mine = max(0, (min(last, piece.kvEnd) - piece.kvStart + kTileTokens - 1) / kTileTokens);
      }
      arrangeTallQuery(block, lane);
      if (next.record < recordCount && records[next.record].tall()) {
        block.prefetchQuery(p, records[next.record], records[next.record].head + next.head, group * 64 + warp * 16, lane);
      }
      takeTallTiles(p, block, reader, piece.kvStart, mine, tiles, lane);
    } else {
      int token = piece.kvStart + warp * kWarpTokens;
#pragma unroll 1
      for (int i = 0; i < tiles; i++, token += kTileTokens) {
        reader.waitFull();
        if (token < block.anyHigh) block.takeTokens(p, reader.address(), warp * kWarpTokens, token, lane);
        reader.release(reader.stage);
        reader.advance();
      }
    }
    if constexpr (kTimed) cycles[1] = clock() - startCycle;
    if (tall) {
      if (next.record < recordCount) load(next);
      const int rowBase = group * 64 + warp * 16;
      if (slot >= 0) writeRows<T, D>(p, piece, head, slot, block.o, block.maximum, block.sum, rowBase, lane);
      else writeTallRows(p, piece, head, block, rowBase, lane);
    } else {
      writeCombined<T, D>(p, shared, piece, head, slot, block, warp, lane);
      if (next.record < recordCount) load(next);
    }
    if constexpr (kTimed) endNs = ptx::globalTimerNs(), cycles[2] = clock() - startCycle;
    if (slot >= 0) {
      if (tall) ptx::syncThreads(kBothGroups, kConsumerThreads);
      if (!tall || group == 0) announceSlot(p, piece, slot, at.head, shared.thread());
    }
    if constexpr (kTimed) {
      if (shared.thread() == 0 && (!tall || group == 0)) {
        cycles[3] = clock() - startCycle;
        p.pieceTrace[piece.firstPiece + at.head] = {startNs, endNs, ptx::smId(), shared.worker(), {cycles[0], cycles[1], cycles[2], cycles[3]}};
      }
    }
    at.step(records);
  }
}

/** The end of worker 2c + g, by consumer warpgroup g. Out of line: nothing waits for it to begin. */
template <class T, int D, bool kTimed>
__device__ __noinline__ void endTallWorker(const AttentionParams& p, const WarpgroupMemory shared, const UnitRange& units, uint32_t begun,
                                           uint32_t startCycle) {
  endWorker<T, D, kTimed>(p, shared, units, begun, (threadIdx.x >> 5) & (kWarps - 1), threadIdx.x & 31, startCycle);
}

#endif

/** `workers`: rows of the worker table; CTA c does the pieces of workers 2c and 2c + 1. */
template <class T, int D, bool kTimed>
__global__ void __launch_bounds__(kTallThreads, 1) tallKernel(const __grid_constant__ AttentionParams p, int workers) {
#if ISOCHRON_WARPGROUP
  extern __shared__ __align__(1024) uint8_t sharedBytes[];
  constexpr int stages = TallShape<D>::stages;
  __shared__ uint64_t barriers[2 * stages];
  __shared__ UnitMemory nearbyUnits[2];
  __shared__ UnitRange ranges[2];  // held here, not in registers, while tiles are consumed
  uint8_t* const combine = sharedBytes + TallShape<D>::ringBytes;
  uint8_t* const states = combine + 2 * TallShape<D>::combineBytes;
  PieceRecord* const nearby = reinterpret_cast<PieceRecord*>(states + 2 * Shape<D>::stateBytes);
  const uint32_t ring = ptx::sharedAddress(sharedBytes), full = ptx::sharedAddress(barriers), empty = full + stages * 8;
  uint32_t startCycle = 0;
  if constexpr (kTimed) startCycle = clock();
  ptx::allowNextLaunch();
  // Workers' records follow each other in the plan.
  const WorkerRecord& one = p.workers[2 * blockIdx.x];
  const int start = one.start, middle = one.end;
  const int end = int(2 * blockIdx.x + 1) < workers ? max(middle, p.workers[2 * blockIdx.x + 1].end) : middle;
  const int recordCount = end - start;
  if (recordCount <= 0) return;
  const RecordTable records{nearby, p.pieces + start, min(recordCount, kTallNearbyRecords)};
  constexpr int quads = sizeof(PieceRecord) / 16;
  for (int i = threadIdx.x; i < records.count * quads; i += kTallThreads) {
    reinterpret_cast<uint4*>(nearby)[i] = __ldg(reinterpret_cast<const uint4*>(records.all) + i);
  }
  if (threadIdx.x == 0) {
    for (int s = 0; s < stages; s++) {
      ptx::barrierInit(full + s * 8, kThreads);
      ptx::barrierInit(empty + s * 8, kConsumerThreads);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x >= kConsumerThreads) {
    ptx::keepRegisters<kProducerRegisters>();
    produceTiles<T, D>(p, records, recordCount, ring, full, empty);
  } else {
    ptx::takeRegisters<kConsumerRegisters>();
    const int group = threadIdx.x >> 7;
    WarpgroupMemory shared{{ring, reinterpret_cast<float*>(combine + group * TallShape<D>::combineBytes),
                            reinterpret_cast<float2*>(states + group * Shape<D>::stateBytes), nearby, nearbyUnits + group}, 1 + group,
                           2 * blockIdx.x + group};
    RingReader<D> reader{ring, full, empty, 0, 0};
    uint32_t begun = 0;
    const bool hasPieces = group == 0 ? start < middle : middle < end;
    if (hasPieces) {
      const UnitRange units = UnitRange::of(p, p.workers[shared.currentWorker]);
      prefetchUnit(p, shared.units, units, shared.thread());
      if (shared.thread() == 0) ranges[group] = units;
      ptx::waitForPreviousLaunch();
      begun = countBeginning(p, units, shared.thread());
    }
    consumeTiles<T, D, kTimed>(p, shared, records, recordCount, middle - start, reader, startCycle);
    shared.currentWorker = 2 * blockIdx.x + group;
    if (hasPieces) {
      shared.sync();
      endTallWorker<T, D, kTimed>(p, shared, ranges[group], begun, startCycle);
    }
  }
#endif
}

}  // namespace isochron
