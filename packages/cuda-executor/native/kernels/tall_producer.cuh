// The producers of the kernel for tall tiles: they copy the KV tiles of a CTA's pieces into the ring, straight across pieces.
//
// BoxProducer lets Hopper's copy engine do it, 16 tokens of a page at a time: an instruction of one thread instead of 128
// copies of 16 bytes. Warps 0 and 1 bring keys, 2 and 3 values, each at its own pace, so that keys run ahead.
// RowProducer is for pages of other sizes: every warp copies 16 tokens of both, row by row.
#pragma once
#include "attention.cuh"
#include "tensor_map.h"

namespace isochron {

#if ISOCHRON_WARPGROUP

/** What both producers have: one warp's walk over all tiles. `kTileEntries` lanes know one page each of the warp's tokens of a tile. */
template <int D, int kTileEntries, int kEntryTokens>
class TileProducer {
 protected:
  static constexpr int kTokens = kTileEntries * kEntryTokens;
  const AttentionParams& p;
  const RecordTable& records;
  const int recordCount;
  const int lane;
  const int firstOfTile;  // the warp's tokens begin here
  bool waited;
  RingPlace<D> at;

  __device__ __forceinline__ TileProducer(const AttentionParams& p, const RecordTable& records, int recordCount, int warp)
      : p(p), records(records), recordCount(recordCount), lane(threadIdx.x & 31), firstOfTile(warp * kTokens % kTileTokens) {
    waited = p.historyIsReady == 0;
    if (waited) ptx::waitForPreviousLaunch();
  }

  /** Up to 32 / kTileEntries tiles of one head of a record. */
  struct Batch {
    int tiles;                // 0: there are no more
    int page;                 // of this lane's tokens; −1 past the piece's end
    int record, head, token;  // of the first tile
  };

  __device__ __forceinline__ Batch beforeFirst() const { return {0, -1, 0, 0, records[0].kvStart}; }

  /** The first of this lane's tokens. */
  __device__ __forceinline__ int laneToken(const Batch& batch) const {
    return batch.token + lane / kTileEntries * kTileTokens + firstOfTile + lane % kTileEntries * kEntryTokens;
  }

  /** The batch after `last`; its page ids are on their way. */
  __device__ __forceinline__ Batch follow(const Batch& last) const {
    Batch found{0, -1, last.record, last.head, last.token + last.tiles * kTileTokens};
#pragma unroll 1
    while (found.record < recordCount) {
      const PieceRecord& piece = records[found.record];
      if (found.token < piece.kvEnd) {
        found.tiles = min((piece.kvEnd - found.token + kTileTokens - 1) / kTileTokens, 32 / kTileEntries);
        const int token = laneToken(found);
        if (token < piece.kvEnd) found.page = __ldg(p.pageIndices + piece.pageStart + token / p.pageSize);
        return found;
      }
      if (++found.head == piece.headCount || piece.kvStart >= piece.kvEnd) found.head = 0, found.record++;
      if (found.record < recordCount) found.token = records[found.record].kvStart;
    }
    return found;
  }

  /** Before the warp's tokens of a tile. Those of earlier steps may be read before the previous launch ends. */
  __device__ __forceinline__ void awaitTokens(const PieceRecord& piece, int token) {
    if (!waited && token + kTokens > piece.kvLen - piece.qoLen) {
      ptx::waitForPreviousLaunch();
      waited = true;
    }
  }
};

/** One warp of a producer that copies row by row: 16 tokens of the keys and values of every tile. */
template <int D>
class RowProducer : TileProducer<D, kWarpTokens, 1> {
  using Base = TileProducer<D, kWarpTokens, 1>;
  using typename Base::Batch;
  using Base::at, Base::lane, Base::p, Base::records, Base::firstOfTile;

 public:
  /** Arrivals that fill a stage: copies arrive for the thread that queued them. */
  static constexpr int arrivals = kThreads;

  __device__ __forceinline__ RowProducer(const AttentionParams& p, const RecordTable& records, int recordCount, uint32_t ring,
                                         uint32_t fullBarriers, uint32_t emptyBarriers)
      : Base(p, records, recordCount, ptx::broadcast((threadIdx.x >> 5) & (kWarps - 1))) {
    full = ptx::broadcast(fullBarriers);
    empty = ptx::broadcast(emptyBarriers);
    target = ring + (firstOfTile + lane / kLanesPerRow) * 128;
  }

  /** All tiles of all records; page ids are looked up two batches ahead. */
  __device__ __forceinline__ void copyAll() {
    Batch batch = this->follow(this->beforeFirst()), next = this->follow(batch);
#pragma unroll 1
    while (batch.tiles > 0) {
      const Batch afterNext = this->follow(next);
      const PieceRecord& piece = records[batch.record];
      const int kvHead = (piece.head + batch.head) * p.packedHeads / p.groupSize, kvEnd = piece.kvEnd;
      const uint64_t policy = piece.tall() ? ptx::policyEvictNormal() : ptx::policyEvictFirst();
      const uint32_t row = rowOf(max(batch.page, 0), this->laneToken(batch) % p.pageSize, kvHead);
      int token = batch.token + firstOfTile;
#pragma unroll 1
      for (int i = 0; i < batch.tiles; i++, token += kTileTokens, at.advance()) {
        this->awaitTokens(piece, token);
        uint32_t rows[kSteps];
#pragma unroll
        for (int step = 0; step < kSteps; step++) {
          rows[step] = __shfl_sync(0xffffffffu, row, i * kWarpTokens + step * kRowsPerStep + lane / kLanesPerRow);
        }
        const uint32_t barrier = at.stage * kStageBarrierBytes;
        ptx::barrierWait(empty + barrier, at.parity ^ 1);  // a fresh barrier counts as past its phase of parity 1
        copyRows(p.key, 0, rows, kvEnd - token, policy);
        ptx::barrierArriveWithCopies(full + barrier);
        ptx::barrierWait(empty + barrier + 8, at.parity ^ 1);
        copyRows(p.value, Shape<D>::tensorBytes, rows, kvEnd - token, policy);
        ptx::barrierArriveWithCopies(full + barrier + 8);
      }
      batch = next, next = afterNext;
    }
    ptx::copyAsyncWait<0>();
  }

 private:
  static constexpr int kRowBytes = D * 2, kLanesPerRow = 8, kRowsPerStep = 32 / kLanesPerRow, kSteps = kWarpTokens / kRowsPerStep;
  uint32_t target, full, empty;  // of stage 0: where the lane's first row goes, and the barriers

  /** Index of a row in the cache: all its strides are multiples of a row. A word, for 32 bits are traded at a time. */
  __device__ __forceinline__ uint32_t rowOf(int page, int inner, int kvHead) const {
    return page * uint32_t(p.pageStride / kRowBytes) + inner * (p.tokenStride / kRowBytes) + kvHead * (p.headStride / kRowBytes);
  }

  /** The warp's 16 rows of a tensor, eight lanes to 128 bytes of a row; rows from `count` on are zeros. */
  __device__ __forceinline__ void copyRows(const void* tensor, int offset, const uint32_t (&rows)[kSteps], int count, uint64_t policy) const {
    const uint32_t to = target + offset + at.stage * Shape<D>::stageBytes;
    const char* const column = static_cast<const char*>(tensor) + lane % kLanesPerRow * 16;
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      const int inTile = step * kRowsPerStep + lane / kLanesPerRow;
      const char* const from = column + uint64_t(rows[step]) * kRowBytes;
      const uint32_t unit = (lane % kLanesPerRow ^ (inTile & 7)) << 4;
#pragma unroll
      for (int plane = 0; plane < D / 64; plane++) {
        ptx::copyAsync16(to + unit + step * kRowsPerStep * 128 + plane * Shape<D>::planeBytes, from + plane * 128, inTile < count, policy);
      }
    }
  }
};

/** One warp of a producer that uses the copy engine: 32 tokens of the keys, or of the values, of every tile. */
template <int D>
class BoxProducer : TileProducer<D, 32 / kBoxTokens, kBoxTokens> {
  using Base = TileProducer<D, 32 / kBoxTokens, kBoxTokens>;
  using typename Base::Batch;
  using Base::at, Base::lane, Base::p, Base::records, Base::firstOfTile, Base::kTokens;

 public:
  /** Arrivals that fill a stage: of two warps. */
  static constexpr int arrivals = 2;

  __device__ __forceinline__ BoxProducer(const AttentionParams& p, const RecordTable& records, int recordCount, const void* keyMap,
                                         const void* valueMap, uint32_t ring, uint32_t fullBarriers, uint32_t emptyBarriers)
      : Base(p, records, recordCount, ptx::broadcast((threadIdx.x >> 5) & (kWarps - 1))), isValue(((threadIdx.x >> 6) & 1) != 0) {
    map = isValue ? valueMap : keyMap;
    target = ptx::broadcast(ring + (isValue ? Shape<D>::tensorBytes : 0) + firstOfTile * 128);
    full = ptx::broadcast(fullBarriers + (isValue ? 8 : 0));
    empty = ptx::broadcast(emptyBarriers + (isValue ? 8 : 0));
  }

  /** All tiles of all records; page ids are looked up two batches ahead. */
  __device__ __forceinline__ void copyAll() {
    Batch batch = this->follow(this->beforeFirst()), next = this->follow(batch);
#pragma unroll 1
    while (batch.tiles > 0) {
      const Batch afterNext = this->follow(next);
      const PieceRecord& piece = records[batch.record];
      const int kvHead = (piece.head + batch.head) * p.packedHeads / p.groupSize, kvEnd = piece.kvEnd;
      // What lies between the end of a request and the end of its page may be anything: such tokens are copied by rows.
      const int boxesEnd = piece.kvStart % kBoxTokens == 0 ? piece.kvLen : 0;
      const uint64_t policy = piece.tall() ? ptx::policyEvictNormal() : ptx::policyEvictFirst();
      int token = batch.token + firstOfTile;
#pragma unroll 1
      for (int i = 0; i < batch.tiles; i++, token += kTileTokens, at.advance()) {
        this->awaitTokens(piece, token);
        const bool byRows = token + kTokens > boxesEnd && token < kvEnd;
        const int64_t offset = byRows && token + lane < kvEnd ? rowOffset(piece.pageStart, token + lane, kvHead) : -1;
        ptx::barrierWait(empty + at.stage * kStageBarrierBytes, at.parity ^ 1);  // a fresh barrier counts as past its phase of parity 1
        if (byRows) copyRows(offset, policy);
        else copyBoxes(batch.page, i * kBoxes, token % p.pageSize, kvHead, policy);
      }
      batch = next, next = afterNext;
    }
    ptx::copyAsyncWait<0>();
  }

 private:
  static constexpr int kBoxes = kTokens / kBoxTokens;
  const bool isValue;
  const void* map;
  uint32_t target, full, empty;  // of stage 0: where the warp's tokens go, and the tensor's barriers

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
    const uint32_t barrier = full + at.stage * kStageBarrierBytes;
    ptx::barrierAwaitCopies(barrier);
    __syncwarp();
    if (lane == 0) ptx::barrierArrive(barrier);
  }

  __device__ __forceinline__ int64_t rowOffset(int pageStart, int token, int kvHead) const {
    const int page = token / p.pageSize;
    const int id = __ldg(p.pageIndices + pageStart + page);
    return id * p.pageStride + (token - page * p.pageSize) * p.tokenStride + kvHead * p.headStride;
  }
};

#endif

}  // namespace isochron
