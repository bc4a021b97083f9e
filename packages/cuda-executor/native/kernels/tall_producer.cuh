// The producers of the kernel for tall tiles: they copy the KV tiles of a CTA's pieces into the ring, straight across pieces.
//
// BoxProducer lets Hopper's copy engine do it, 16 tokens of a page at a time: an instruction of one thread instead of 128
// copies of 16 bytes. Warps 0 and 1 bring keys, 2 and 3 values, each at its own pace, so that keys run ahead.
// produceRows is for pages of other sizes: every warp copies 16 tokens of both, row by row.
#pragma once
#include "attention.cuh"
#include "tensor_map.h"

namespace isochron {

#if ISOCHRON_WARPGROUP

/** Says that what this warp has queued for a tensor of a stage will have arrived. */
__device__ __forceinline__ void promiseCopies(uint32_t barrier, int lane) {
  ptx::barrierAwaitCopies(barrier);
  __syncwarp();
  if (lane == 0) ptx::barrierArrive(barrier);
}

/** Copies the tiles of all records row by row. Page ids are looked up two tiles ahead. */
template <int D>
__device__ __forceinline__ void produceRows(const AttentionParams& p, const RecordTable& records, int recordCount, uint32_t ring,
                                            uint32_t full, uint32_t empty) {
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
  RingPlace<D> at;
#pragma unroll 1
  while (cursor.next.live) {
    if (!waited && !cursor.next.onlyHistory) {
      ptx::waitForPreviousLaunch();
      waited = true;
    }
    const uint32_t barrier = at.stage * kStageBarrierBytes;
    ptx::barrierWait(empty + barrier, at.parity ^ 1);  // a fresh barrier counts as past its phase of parity 1
    ptx::barrierWait(empty + barrier + 8, at.parity ^ 1);
    cursor.copy(p, ring, at.stage, warp, lane, policyOnce, policyShared);
    promiseCopies(full + barrier, lane);
    promiseCopies(full + barrier + 8, lane);
    cursor.next = cursor.afterNext;
    cursor.advance(p, records, warp, lane);
    at.advance();
  }
  ptx::copyAsyncWait<0>();
}

/** One warp of a producer that uses the copy engine: 32 tokens of the keys, or of the values, of every tile. */
template <int D>
class BoxProducer {
 public:
  __device__ __forceinline__ BoxProducer(const AttentionParams& p, const RecordTable& records, int recordCount, const void* keyMap,
                                         const void* valueMap, uint32_t ring, uint32_t fullBarriers, uint32_t emptyBarriers)
      : p(p), records(records), recordCount(recordCount) {
    const uint32_t warp = ptx::broadcast((threadIdx.x >> 5) & (kWarps - 1));
    isValue = (warp & 2) != 0;
    lane = threadIdx.x & 31;
    firstOfTile = int(warp & 1) * kTokens;
    map = isValue ? valueMap : keyMap;
    target = ptx::broadcast(ring + (isValue ? Shape<D>::tensorBytes : 0) + firstOfTile * 128);
    full = ptx::broadcast(fullBarriers + (isValue ? 8 : 0));
    empty = ptx::broadcast(emptyBarriers + (isValue ? 8 : 0));
    waited = p.historyIsReady == 0;
    if (waited) ptx::waitForPreviousLaunch();
  }

  /** All tiles of all records; page ids are looked up a batch ahead. */
  __device__ __forceinline__ void copyAll() {
    Batch batch = follow({0, -1, 0, 0, records[0].kvStart});
#pragma unroll 1
    while (batch.tiles > 0) {
      const Batch next = follow(batch);
      const PieceRecord& piece = records[batch.record];
      const int kvHead = (piece.head + batch.head) * p.packedHeads / p.groupSize, kvEnd = piece.kvEnd;
      // What lies between the end of a request and the end of its page may be anything: such tokens are copied by rows.
      const int boxesEnd = piece.kvStart % kBoxTokens == 0 ? piece.kvLen : 0;
      const uint64_t policy = piece.tall() ? ptx::policyEvictNormal() : ptx::policyEvictFirst();
      int token = batch.token + firstOfTile;
#pragma unroll 1
      for (int i = 0; i < batch.tiles; i++, token += kTileTokens, at.advance()) {
        // KV tokens of earlier steps may be read before the previous launch ends.
        if (!waited && token + kTokens > piece.kvLen - piece.qoLen) {
          ptx::waitForPreviousLaunch();
          waited = true;
        }
        const bool byRows = token + kTokens > boxesEnd && token < kvEnd;
        const int64_t offset = byRows && token + lane < kvEnd ? rowOffset(piece.pageStart, token + lane, kvHead) : -1;
        ptx::barrierWait(empty + at.stage * kStageBarrierBytes, at.parity ^ 1);  // a fresh barrier counts as past its phase of parity 1
        if (byRows) copyRows(offset, policy);
        else copyBoxes(batch.page, i * kBoxes, token % p.pageSize, kvHead, policy);
      }
      batch = next;
    }
    ptx::copyAsyncWait<0>();
  }

 private:
  static constexpr int kTokens = 32, kBoxes = kTokens / kBoxTokens;
  const AttentionParams& p;
  const RecordTable& records;
  const int recordCount;
  const void* map;
  uint32_t target, full, empty;  // of stage 0: where the warp's tokens go, and the tensor's barriers
  int firstOfTile;               // the warp's tokens begin here
  int lane;
  bool isValue, waited;
  RingPlace<D> at;

  /** Up to 16 tiles of one head of a record: a lane for each of the warp's boxes. */
  struct Batch {
    int tiles;                // 0: there are no more
    int page;                 // of this lane's box; -1 past the piece's end
    int record, head, token;  // of the first tile
  };

  /** The batch after `last`. */
  __device__ __forceinline__ Batch follow(const Batch& last) const {
    Batch found{0, -1, last.record, last.head, last.token + last.tiles * kTileTokens};
#pragma unroll 1
    while (found.record < recordCount) {
      const PieceRecord& piece = records[found.record];
      if (found.token < piece.kvEnd) {
        found.tiles = min((piece.kvEnd - found.token + kTileTokens - 1) / kTileTokens, 32 / kBoxes);
        const int token = found.token + lane / kBoxes * kTileTokens + firstOfTile + lane % kBoxes * kBoxTokens;
        if (token < piece.kvEnd) found.page = __ldg(p.pageIndices + piece.pageStart + token / p.pageSize);
        return found;
      }
      if (++found.head == piece.headCount || piece.kvStart >= piece.kvEnd) found.head = 0, found.record++;
      if (found.record < recordCount) found.token = records[found.record].kvStart;
    }
    return found;
  }

  /** The warp's 32 tokens of a tile: box b lies on the page that lane `firstLane` + b knows. `inner`: the first one's token there. */
  __device__ __forceinline__ void copyBoxes(int page, int firstLane, int inner, int kvHead, uint64_t policy) const {
    const uint32_t stage = target + at.stage * Shape<D>::stageBytes, barrier = full + at.stage * kStageBarrierBytes;
    int pages[kBoxes];
#pragma unroll
    for (int b = 0; b < kBoxes; b++) pages[b] = __shfl_sync(0xffffffffu, page, firstLane + b);
    if (ptx::electOne()) {
      ptx::barrierArriveExpecting(barrier, kTokens * D * 2);
#pragma unroll
      for (int b = 0; b < kBoxes; b++) {
#pragma unroll
        for (int plane = 0; plane < D / 64; plane++) {
          ptx::copyBox(stage + plane * Shape<D>::planeBytes + b * kBoxTokens * 128, map, plane * 64, inner, kvHead, pages[b], barrier, policy);
        }
        inner += kBoxTokens;
        if (inner >= p.pageSize) inner = 0;
      }
    }
    __syncwarp();
  }

  /** The same row by row: this lane knows the row at `offset`; a negative one stands for zeros. */
  __device__ __forceinline__ void copyRows(int64_t offset, uint64_t policy) const {
    constexpr int lanesPerRow = D / 8, rowsPerStep = 32 / lanesPerRow;
    const int unit = lane % lanesPerRow;
    const uint32_t plane = target + at.stage * Shape<D>::stageBytes + (unit >> 3) * Shape<D>::planeBytes;
    const char* const column = static_cast<const char*>(isValue ? p.value : p.key) + unit * 16;
#pragma unroll 4
    for (int step = 0; step < kTokens / rowsPerStep; step++) {
      const int row = step * rowsPerStep + lane / lanesPerRow;
      const int64_t from = __shfl_sync(0xffffffffu, offset, row);
      const bool valid = from >= 0;
      ptx::copyAsync16(plane + row * 128 + (((unit & 7) ^ (row & 7)) << 4), column + (valid ? from : 0), valid, policy);
    }
    promiseCopies(full + at.stage * kStageBarrierBytes, lane);
  }

  __device__ __forceinline__ int64_t rowOffset(int pageStart, int token, int kvHead) const {
    const int page = token / p.pageSize;
    const int id = __ldg(p.pageIndices + pageStart + page);
    return id * p.pageStride + (token - page * p.pageSize) * p.tokenStride + kvHead * p.headStride;
  }
};

#endif

}  // namespace isochron
