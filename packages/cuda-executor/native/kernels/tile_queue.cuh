// The KV tiles of a worker in the order in which its pieces read them, and their way to shared memory.
//
// A warp copies its own 16 tokens of each 64-token tile, K and V rows, 16 bytes a lane, through the page table. Unit: one tile.
// Tiles follow each other straight across page, head and piece boundaries. A page id is asked for long before it is needed: under
// load a look-up takes 3 to 5 µs, and a tile 2.8.
#pragma once
#include "shape.cuh"

namespace isochron {

/** A warp's own copy of the first records of its worker: looking one up under load costs a whole queue of memory. */
struct RecordTable {
  const PieceRecord* nearby;  // in shared memory
  const PieceRecord* all;     // the worker's records
  int count;                  // in `nearby`
  int split = 0x7fffffff;     // records from here on are another worker's,
  int gap = 0;                // so many records further on

  __device__ __forceinline__ const PieceRecord& operator[](int i) const {
    return i < count ? nearby[i] : all[i < split ? i : i + gap];
  }
};

/** Page and place of each lane's token row in a tile. */
struct TileAddress {
  int page;           // its id, or still its index in the page table
  int inner;          // bytes from the start of the page; −1: no such token
  bool live, streaming, onlyHistory;  // onlyHistory: no lane's row is of a token that this step adds
};

/** The KV tiles of a worker, one after the other. */
struct TileWalk {
  int record, recordCount, head, headsLeft, token, kvStart, kvEnd, pageStart, history;
  bool streaming;

  __device__ __forceinline__ void enter(const PieceRecord& piece) {
    head = piece.head;
    headsLeft = piece.headCount;
    kvStart = token = piece.kvStart;
    kvEnd = piece.kvEnd;
    pageStart = piece.pageStart;
    history = piece.kvLen - piece.qoLen;
    streaming = !piece.tall();
  }
  /** Moves on until a tile with tokens, or the end. */
  __device__ __forceinline__ void skipEmpty(const RecordTable& records) {
    while (token >= kvEnd) {
      if (headsLeft > 1 && kvStart < kvEnd) {
        headsLeft--;
        head++;
        token = kvStart;
        return;
      }
      if (++record >= recordCount) return;
      enter(records[record]);
    }
  }
  __device__ __forceinline__ void advance(const RecordTable& records) {
    if (record >= recordCount) return;
    token += kTileTokens;
    skipEmpty(records);
  }
  /** Where the tokens of the current tile are; pages as indices in the page table. */
  __device__ __forceinline__ TileAddress locate(const AttentionParams& p, int warp, int lane) const {
    const int t = token + warp * kWarpTokens + (lane & 15);
    TileAddress tile{0, -1, record < recordCount, streaming, false};
    tile.onlyHistory = token + (warp + 1) * kWarpTokens <= history || !tile.live;
    if (tile.live && t < kvEnd) {
      const int page = p.pageShift >= 0 ? t >> p.pageShift : t / p.pageSize;
      const int kvHead = p.packedHeads == p.groupSize ? head : head * p.packedHeads / p.groupSize;
      tile.page = pageStart + page;
      tile.inner = (t - page * p.pageSize) * p.tokenStride + kvHead * p.headStride;
    }
    return tile;
  }
};

/** Queues a warp's 16 tokens into ring stage `stage`; `offset`: bytes to the token lane & 15, −1 for zeros. */
template <int D>
__device__ __forceinline__ void copyRows(const AttentionParams& p, uint32_t ring, int stage, int64_t offset, int warp, int lane,
                                         uint64_t policy) {
  constexpr int lanesPerRow = D / 8, rowsPerStep = 32 / lanesPerRow == 0 ? 1 : 32 / lanesPerRow;
  const int unit = lane % lanesPerRow;
  const uint32_t base = ring + stage * Shape<D>::stageBytes + (unit >> 3) * Shape<D>::planeBytes;
#pragma unroll
  for (int step = 0; step < kWarpTokens / rowsPerStep; step++) {
    const int row = step * rowsPerStep + lane / lanesPerRow;
    const int64_t rowOffset = __shfl_sync(0xffffffffu, offset, row);
    const bool valid = rowOffset >= 0;
    const int64_t byte = (valid ? rowOffset : 0) + unit * 16;
    const uint32_t target = base + (warp * kWarpTokens + row) * 128 + (((unit & 7) ^ (row & 7)) << 4);
    ptx::copyAsync16(target, static_cast<const char*>(p.key) + byte, valid, policy);
    ptx::copyAsync16(target + Shape<D>::tensorBytes, static_cast<const char*>(p.value) + byte, valid, policy);
  }
}

/**
 * Which KV tile a warp copies next. Page ids travel with the tiles to shared memory: a register that waits for a load cannot move up a
 * queue without waiting for it. The ids of tile t + stages come with tile t, ahead of it.
 */
template <int D>
struct TileQueue : TileWalk {
  static constexpr int stages = Shape<D>::stages;
  uint32_t ids;             // address of the warp's page ids, [kIdTiles][kWarpTokens]
  int copied = 1;           // tiles so far; the first is copied by itself
  TileAddress ahead[stages + 1];  // tile `copied` and those behind it

  __device__ __forceinline__ uint32_t idAddress(int place, int lane) const {
    return ids + (((copied + place) % kIdTiles) * kWarpTokens + (lane & 15)) * 4;
  }
  /** Appends the current tile. */
  __device__ __forceinline__ void append(const AttentionParams& p, int warp, int lane) {
#pragma unroll
    for (int i = 0; i < stages; i++) ahead[i] = ahead[i + 1];
    ahead[stages] = locate(p, warp, lane);
  }
  /** This lane's page id of the tile at a place of the queue. */
  __device__ __forceinline__ int lookUp(const AttentionParams& p, int place) const {
    return ahead[place].inner >= 0 ? __ldg(p.pageIndices + ahead[place].page) : 0;
  }
  /** Queues the page ids of the tile at a place, for the group of copies that is committed next. */
  __device__ __forceinline__ void fetchIds(const AttentionParams& p, int place, int lane) const {
    if (ahead[place].inner >= 0 && lane < kWarpTokens) ptx::copyAsync4(idAddress(place, lane), p.pageIndices + ahead[place].page);
  }
  /** Keeps the page ids of the first tile, for `issue`. */
  __device__ __forceinline__ void keep(int page, int lane) const {
    if (lane < kWarpTokens) ptx::storeShared4(idAddress(0, lane), page);
    __syncwarp();
  }
  /** Bytes to this lane's token of the first tile; −1: no such token. */
  __device__ __forceinline__ int64_t offsetOf(const AttentionParams& p, int page) const {
    return ahead[0].inner < 0 ? -1 : page * p.pageStride + ahead[0].inner;
  }
  /** Brings the first tile to L2. */
  __device__ __forceinline__ void prefetch(const AttentionParams& p, int lane) const {
    const int64_t offset = offsetOf(p, lookUp(p, 0));
    if (offset < 0 || !ahead[0].onlyHistory) return;
    const char* row = static_cast<const char*>(lane < kWarpTokens ? p.key : p.value) + offset;
#pragma unroll
    for (int byte = 0; byte < D * 2; byte += 128) ptx::prefetchL2(row + byte);
  }
  /** Queues the first tile into ring stage `stage`. */
  __device__ __forceinline__ void issue(const AttentionParams& p, const RecordTable& records, uint32_t ring, int stage,
                                        int warp, int lane, uint64_t policyOnce, uint64_t policyShared) {
    if (ahead[0].live) {
      fetchIds(p, stages, lane);
      const int64_t offset = offsetOf(p, ptx::loadShared(idAddress(0, lane)));
      copyRows<D>(p, ring, stage, offset, warp, lane, ahead[0].streaming ? policyOnce : policyShared);
      copied++;
      advance(records);
      append(p, warp, lane);
    }
    ptx::copyAsyncCommit();
  }
};

}  // namespace isochron
