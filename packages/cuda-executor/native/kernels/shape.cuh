// What the four warps of a worker have: sizes of tiles and of shared memory, and where in it everything lies.
#pragma once
#include "params.h"
#include "ptx.cuh"

namespace isochron {

constexpr int kThreads = 128;
constexpr int kWarps = 4;
constexpr int kTileTokens = 64;
constexpr int kWarpTokens = 16;
constexpr int kCombineRows = 8;
/** Tiles of which a warp keeps page ids: more than it looks ahead, a power of two. */
constexpr int kIdTiles = 8;
/** Chosen: balanced plans give a worker fewer records than this, unless requests are far more than workers. */
constexpr int kNearbyRecords = 16;
constexpr float kLn2 = 0.6931471805599453f;
constexpr float kLog2e = 1.4426950408889634f;

/** A worker's first merge unit; of its warps, those that would leave their units; and what one left. */
struct alignas(16) UnitMemory {
  UnitRecord first;
  int32_t votes, left;
};

template <int D>
struct Shape {
  /**
   * 64 KiB or less in flight for each CTA. More only lengthens the queue in front of memory, and everything else waits in
   * it too: with 96 KiB the first tile of a full launch took 6 µs instead of 3.5, and arrivals up to 16 µs.
   */
  static constexpr int stages = D == 64 ? 3 : 2;
  static constexpr int lookahead = stages - 1;
  static constexpr int ctasPerSm = D == 256 ? 1 : 2;
  static constexpr int planeBytes = kTileTokens * 128;       // 64 head-dim elements of every token of a tile
  static constexpr int tensorBytes = planeBytes * (D / 64);  // K or V of one tile
  static constexpr int stageBytes = 2 * tensorBytes;
  static constexpr int stateBytes = kWarps * 16 * 8;
  static constexpr int recordBytes = kWarps * kNearbyRecords * int(sizeof(PieceRecord));
  static constexpr int idBytes = kWarps * kIdTiles * kWarpTokens * 4;
  static constexpr int ringBytes = stages * stageBytes;
  static constexpr int combineBytes = kWarps * kCombineRows * D * 4;
  static constexpr int sharedBytes = ringBytes + combineBytes + stateBytes + recordBytes + idBytes + int(sizeof(UnitMemory));
};

/** What the four warps of a piece share: here those of a CTA. */
struct SharedMemory {
  uint32_t ring;       // address of the KV ring
  float* combine;      // [warp][8 rows][D]
  float2* states;      // [warp][16 rows]
  PieceRecord* records;  // [warp][kNearbyRecords]
  UnitMemory* units;
  int32_t* pageIds;      // [warp][kIdTiles][kWarpTokens], of TileQueue
  static constexpr bool mergesTrees = false;  // canonical ones, of nodes: invariant_merge.cuh

  /** In a CTA's dynamic shared memory, Shape<D>::sharedBytes of it. */
  template <int D>
  static __device__ __forceinline__ SharedMemory in(uint8_t* bytes) {
    uint8_t* const combine = bytes + Shape<D>::ringBytes;
    uint8_t* const states = combine + Shape<D>::combineBytes;
    uint8_t* const nearby = states + Shape<D>::stateBytes;
    uint8_t* const units = nearby + Shape<D>::recordBytes;
    return {ptx::sharedAddress(bytes), reinterpret_cast<float*>(combine), reinterpret_cast<float2*>(states), reinterpret_cast<PieceRecord*>(nearby),
            reinterpret_cast<UnitMemory*>(units), reinterpret_cast<int32_t*>(units + sizeof(UnitMemory))};
  }
  static __device__ __forceinline__ void sync() { __syncthreads(); }
  static __device__ __forceinline__ bool syncOr(bool value) { return __syncthreads_or(value); }
  /** This thread among the 128. */
  static __device__ __forceinline__ int thread() { return threadIdx.x; }
  /** Row of the worker table that the current piece belongs to. */
  static __device__ __forceinline__ uint32_t worker() { return blockIdx.x; }
};

/** The same for a warpgroup of a larger CTA. A type of its own: a barrier that is read costs small launches 0.3 µs. */
struct WarpgroupMemory : SharedMemory {
  int barrier;  // of the four warps
  uint32_t currentWorker;

  __device__ __forceinline__ void sync() const { ptx::syncThreads(barrier, kThreads); }
  __device__ __forceinline__ bool syncOr(bool value) const { return ptx::syncThreadsOr(barrier, kThreads, value); }
  static __device__ __forceinline__ int thread() { return threadIdx.x & (kThreads - 1); }
  __device__ __forceinline__ uint32_t worker() const { return currentWorker; }
};

/** The plan's worker to which the current piece belongs, for traces. */
template <class Shared>
__device__ __forceinline__ uint32_t workerOf(const AttentionParams& p, const Shared& shared) {
  return uint32_t(p.workers[shared.worker()].worker);
}

}  // namespace isochron
