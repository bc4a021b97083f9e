// The plan's machine: one persistent launch in which CTA w walks the pieces of worker w.
//
// 4 warps, a ring of kStages KV tiles of 64 tokens in shared memory. Warp w copies tokens [16w, 16w + 16) of every tile (K and
// V rows, 16 bytes a lane, through the page table) with cp.async, one ring ahead and straight across page, head and
// piece boundaries: memory never waits for a piece to end. Two ways to consume a tile:
//   · 16-row query tiles (decode): each warp multiplies all 16 rows with its own 16 tokens, so warps meet only when the
//     piece ends, to combine their four softmax states through shared memory.
//   · taller tiles: warp w owns rows [16w, 16w + 16) of 64 and reads all four warps' tokens; one barrier a tile. (On Hopper
//     plans with such tiles have a kernel of their own up to head dimension 128: tall_kernel.cuh.)
// S = Q·Kᵀ and O += P·V on m16n8k16 tensor cores, online softmax in base 2 in registers.
// A piece with a slot leaves an unnormalised partial state; merges follow behind the pieces (merge_units.cuh).
// Bytes: every KV row once (decode). Shared memory rows are 128 bytes with 16-byte units XORed by row: no bank conflicts.
#pragma once
#include "merge_units.cuh"
#include "worker_begin.cuh"
#include "write_rows.cuh"

namespace isochron {

/** Walks the pieces of one worker, of which there is at least one. Returns what countBeginning said. */
template <class T, int D, bool kTimed, bool kTall>
__device__ __forceinline__ uint32_t walkPieces(const AttentionParams& p, const SharedMemory& shared, const WorkerRecord& worker,
                                               int recordCount, const UnitRange& units, int warp, int lane, uint64_t beginNs,
                                               uint32_t startCycle) {
  constexpr int stages = Shape<D>::stages, lookahead = Shape<D>::lookahead;
  uint32_t cycles[4] = {};
  const RecordTable records{shared.records + warp * kNearbyRecords, p.pieces + worker.start, min(recordCount, kNearbyRecords)};
  const uint64_t policyOnce = ptx::policyEvictFirst(), policyShared = ptx::policyEvictNormal();

  TileQueue<D> cursor;
  RowBlock<T, D> block;
  bool isFull;
  const uint32_t begun = beginWorker<kTall>(p, shared, worker, records, recordCount, units, policyOnce, policyShared, warp, lane, cursor, block, isFull);
  const PieceRecord* piece = records.nearby;
  int stage = 0;

  for (int record = 0;;) {
    const bool tall = kTall && piece->tall();
    for (int h = 0;; h++) {
      const int head = piece->head + h, slot = piece->slot < 0 ? -1 : piece->slot + h;
      uint64_t startNs = 0, endNs = 0;
      if constexpr (kTimed) startNs = record == 0 && h == 0 ? beginNs : ptx::globalTimerNs();
      {
        block.reset();
        for (int token = piece->kvStart; token < piece->kvEnd; token += kTileTokens) {
          const int refill = stage + lookahead < stages ? stage + lookahead : stage + lookahead - stages;
          const uint32_t stageAddress = shared.ring + stage * Shape<D>::stageBytes;
          // Taller tiles: after the barrier nobody reads the previous tile, whose stage is then refilled.
          if (tall) {
            ptx::copyAsyncWait<lookahead - 1>();
            __syncthreads();
          }
          if (isFull) isFull = false;
          else cursor.issue(p, records, shared.ring, refill, warp, lane, policyOnce, policyShared);
          if (!tall) {
            ptx::copyAsyncWait<lookahead>();
            __syncwarp();
          }
          if constexpr (kTimed) {
            if (token == piece->kvStart) cycles[0] = clock() - startCycle;
          }
          const int partEnd = tall ? kWarps : warp + 1;
#pragma unroll 1
          for (int part = tall ? 0 : warp; part < partEnd; part++) {
            const int first = token + part * kWarpTokens;
            if (first < block.anyHigh) block.takeTokens(p, stageAddress, part * kWarpTokens, first, lane);
          }
          __syncwarp();
          stage = stage == stages - 1 ? 0 : stage + 1;
        }
        if constexpr (kTimed) cycles[1] = clock() - startCycle;
        if (tall) {
          writeRows<T, D>(p, *piece, head, slot, block.o, block.maximum, block.sum, warp * 16, lane);
          __syncthreads();
        } else {
          writeCombined<T, D>(p, shared, *piece, head, slot, block, warp, lane);
        }
      }
      if constexpr (kTimed) endNs = ptx::globalTimerNs(), cycles[2] = clock() - startCycle;
      // The next piece's query is on its way while this one's slot is merged.
      const PieceRecord& current = *piece;
      const bool lastHead = h + 1 == piece->headCount, last = lastHead && record + 1 == recordCount;
      if (!last) {
        if (lastHead) piece = &records[++record];
        const int nextHead = lastHead ? piece->head : piece->head + h + 1;
        block.loadQuery(p, *piece, nextHead, kTall && piece->tall() ? warp * 16 : 0, lane);
      }
      if (slot >= 0) announceSlot(p, current, slot, h, shared.thread());
      if constexpr (kTimed) {
        if (threadIdx.x == 0) {
          cycles[3] = clock() - startCycle;
          p.pieceTrace[current.firstPiece + h] = {startNs, endNs, ptx::smId(), blockIdx.x, {cycles[0], cycles[1], cycles[2], cycles[3]}};
        }
      }
      if (last) return begun;
      if (lastHead) break;
    }
  }
}

/**
 * `kTall`: pieces may have tiles of more than 16 rows. Without them the kernel is smaller, and decode faster.
 * The first piece's time begins with the CTA's.
 */
template <class T, int D, bool kTimed, bool kTall>
__global__ void __launch_bounds__(kThreads, Shape<D>::ctasPerSm) attentionKernel(const __grid_constant__ AttentionParams p) {
  extern __shared__ __align__(1024) uint8_t sharedBytes[];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const SharedMemory shared = SharedMemory::in<D>(sharedBytes);
  // The plan and the page table were uploaded before the previous launch began, so they may be read before it ends.
  ptx::allowNextLaunch();
  uint64_t beginNs = 0;
  uint32_t startCycle = 0;
  if constexpr (kTimed) beginNs = ptx::globalTimerNs(), startCycle = clock();
  const WorkerRecord& worker = p.workers[blockIdx.x];
  const int recordCount = worker.end - worker.start;
  if (recordCount <= 0) return;
  const UnitRange units = UnitRange::of(p, worker);
  const uint32_t begun = walkPieces<T, D, kTimed, kTall>(p, shared, worker, recordCount, units, warp, lane, beginNs, startCycle);
  endWorker<T, D, kTimed>(p, shared, units, begun, warp, lane, startCycle);
}

/** The merge units alone, behind a launch of more CTAs than are resident at a time. */
template <class T, int D, bool kTimed>
__global__ void __launch_bounds__(kThreads, 2) mergeKernel(const __grid_constant__ AttentionParams p) {
  __shared__ float combine[kWarps * D];
  __shared__ float2 states[kWarps * 16];
  const SharedMemory shared{0, combine, states, nullptr, nullptr, nullptr};
  ptx::waitForPreviousLaunch();
  const WorkerRecord& worker = p.workers[blockIdx.x];
  uint32_t startCycle = 0;
  if constexpr (kTimed) startCycle = clock();
  const int start = worker.unitStart, awaited = worker.awaitedStart, end = worker.unitEnd, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (start < awaited) mergeUnits<T, D, kTimed>(p, shared, p.units[start].counted, start, awaited, INT_MAX, warp, lane, startCycle);
  for (int u = awaited; u < end; u++) mergeParts<T, D, kTimed>(p, shared, p.units[u].awaited, INT_MAX, warp, lane, startCycle);
}

}  // namespace isochron
