// Batch-invariant attention: bits that depend on a request alone, not on its neighbours nor on how its jobs were cut.
//
// KV positions lie on an absolute grid of chunks (chunk_grid.h). A chunk's state is a pure function of the chunk and of the query
// tile: tiles of 64 tokens begin at multiples of 64, and the warps' states combine in one fixed order at each chunk's end. Chunks
// combine in the canonical binary tree, the left half of a node first and with the same three instructions an element. A piece leaves the largest nodes inside it; merge units finish the tree
// (invariant_merge.cuh). A node waits for its right sibling on a stack: in shared memory, or behind it in global memory.
// One warp owns a row of a node from beginning to end, so nothing but the warps' combination needs a barrier.
#pragma once
#include "attention.cuh"
#include "invariant.h"
#include "invariant_merge.cuh"

namespace isochron {

template <int D>
struct CanonicalShape {
  static constexpr int stackBytes = D == 256 ? 32768 : 24576;
  static constexpr int sharedBytes = Shape<D>::sharedBytes + stackBytes;
  static_assert(stackBytes >= kWarps * (kStackEntries - kCombineRows) * D * 4);
};

/** The chunks of a piece, units [from, to), and the nodes that it leaves for each head. */
struct ChunkRange {
  ChunkGrid grid;
  int from, to;

  __device__ __forceinline__ ChunkRange(const CanonicalParams& c, const PieceRecord& piece)
      : grid(ChunkGrid::of(c.gridTokens, int64_t(piece.qoLen) * c.attention.queryHeads)) {
    from = grid.startOf(piece.kvStart);
    to = grid.endOf(max(piece.kvStart, piece.kvEnd - 1));
  }
  /** One past the last token of the piece's chunk that ends before unit `end`. */
  __device__ __forceinline__ int tokenEnd(int end, const PieceRecord& piece) const {
    return end < to ? end * grid.unitTokens : piece.kvEnd;
  }
  /** The first slot of the piece's h-th head. */
  __device__ __forceinline__ int slotOf(const PieceRecord& piece, int h) const {
    return piece.slot < 0 || h == 0 ? piece.slot : piece.slot + h * grid.nodeCount(from, to);
  }
};

/** What becomes of the node that ends with a chunk. */
struct Climb {
  int folds;     // so many left siblings merge with it, the last that wait
  bool isFinal;  // no larger node of the piece holds it
  int waiting;   // nodes that wait before

  /** The chunk is units [at, at + size) of a piece; `whole`: the piece is its whole job, whose tree it finishes. */
  __device__ __forceinline__ Climb(int at, int size, const ChunkRange& piece, bool whole, int waiting) : folds(0), waiting(waiting) {
    const bool finishes = whole && at + size >= piece.to;
    for (;; at &= ~size, size *= 2) {
      const bool isRight = (at & size) != 0;
      if (isRight ? (whole ? at <= piece.from : at - size < piece.from) : !finishes || at <= piece.from) break;
      folds += isRight;
    }
    const int parent = at & ~(2 * size - 1);
    isFinal = finishes || (!whole && (parent < piece.from || parent + 2 * size > piece.to));
  }
  /** Nodes that wait afterwards. */
  __device__ __forceinline__ int left() const { return waiting - folds + (isFinal ? 0 : 1); }
};

/** Where nodes wait for their right sibling, the largest first: each [rows][D] and then [rows] states. */
template <int D>
struct NodeStack {
  float* shared;
  float* spilled;
  int rows, sharedNodes;

  /** `place`: whose nodes these are, among all that have some at a time. */
  __device__ __forceinline__ NodeStack(const CanonicalParams& c, uint8_t* memory, int bytes, int rows, int place) : rows(rows) {
    shared = reinterpret_cast<float*>(memory);
    sharedNodes = bytes / (rows * (D + 2) * 4);
    spilled = c.spilled + int64_t(place) * c.spilledRows * (D + 2);
  }
  __device__ __forceinline__ float* node(int i) const { return (i < sharedNodes ? shared : spilled) + i * rows * (D + 2); }
  __device__ __forceinline__ float* row(int i, int row) const { return node(i) + row * D; }
  __device__ __forceinline__ float2* state(int i, int row) const { return reinterpret_cast<float2*>(node(i) + rows * D) + row; }
};

template <int D>
__device__ __forceinline__ void loadLaneRow(LaneRow<D>& to, const float* row, int lane) {
#pragma unroll
  for (int i = 0; i < D / 32; i += 2) {
    const float2 x = *reinterpret_cast<const float2*>(row + lane * (D / 32) + i);
    to.v[i] = x.x, to.v[i + 1] = x.y;
  }
}
template <int D>
__device__ __forceinline__ void storeLaneRow(const LaneRow<D>& from, float* row, int lane) {
#pragma unroll
  for (int i = 0; i < D / 32; i += 2) {
    *reinterpret_cast<float2*>(row + lane * (D / 32) + i) = make_float2(from.v[i], from.v[i + 1]);
  }
}

/** left ⊕ (row, state) → (row, state). */
template <int D>
__device__ __forceinline__ void foldLeft(const float* left, float2 leftState, LaneRow<D>& row, float2& state, int lane) {
  const MergeFactors factors(leftState.x, state.x);
  LaneRow<D> other;
  loadLaneRow<D>(other, left, lane);
#pragma unroll
  for (int i = 0; i < D / 32; i++) row.v[i] = mergeElement(other.v[i], factors.left, row.v[i], factors.right);
  state = make_float2(factors.maximum, mergeElement(leftState.y, factors.left, state.y, factors.right));
}

/** Decode: combines the four warps' states of the chunk that has ended, climbs the tree, and leaves the node where it belongs. */
template <class T, int D, class Shared>
__device__ __forceinline__ void pushCombined(const AttentionParams& p, const Shared& shared, const NodeStack<D>& stack,
                                             const PieceRecord& piece, int head, const Climb& climb, int slot, RowBlock<T, D>& block,
                                             int warp, int lane) {
  shareStates(shared, block, warp, lane);
#pragma unroll
  for (int half = 0; half < 2; half++) {
    if (half * 8 >= piece.validRows()) break;
    shareRows(shared, block, half, piece.validRows(), warp, lane);
    shared.sync();
#pragma unroll 1
    for (int r = warp; r < kCombineRows && half * 8 + r < piece.validRows(); r += kWarps) {
      const int row = half * 8 + r;
      float maximum = -INFINITY;
#pragma unroll
      for (int w = 0; w < kWarps; w++) maximum = fmaxf(maximum, shared.states[w * 16 + row].x);
      const float reference = maximum == -INFINITY ? 0.f : maximum;
      LaneRow<D> node;
      float sum = 0.f;
#pragma unroll
      for (int i = 0; i < D / 32; i++) node.v[i] = 0.f;
#pragma unroll
      for (int w = 0; w < kWarps; w++) {
        const float2 state = shared.states[w * 16 + row];
        const float factor = ptx::exp2Fast(state.x - reference);
        sum = __fmaf_rn(factor, state.y, sum);
        const float* part = shared.combine + (w * kCombineRows + r) * D;
#pragma unroll
        for (int i = 0; i < D / 32; i += 2) {
          const float2 x = *reinterpret_cast<const float2*>(part + ((lane * (D / 32) + i) ^ ((r & 3) << 3)));
          node.v[i] = __fmaf_rn(factor, x.x, node.v[i]);
          node.v[i + 1] = __fmaf_rn(factor, x.y, node.v[i + 1]);
        }
      }
      float2 state = make_float2(maximum, sum);
      for (int i = climb.waiting - 1; i >= climb.waiting - climb.folds; i--) {
        foldLeft<D>(stack.row(i, row), *stack.state(i, row), node, state, lane);
      }
      if (!climb.isFinal) {
        storeLaneRow<D>(node, stack.row(climb.left() - 1, row), lane);
        if (lane == 0) *stack.state(climb.left() - 1, row) = state;
        __syncwarp();
      } else if (slot >= 0 && piece.isAwaited()) {
        writeAwaited<D>(p, int64_t(piece.awaitedPlace() + slot - piece.slot) * kAwaitedRows + row, node, state, lane);
      } else if (slot >= 0) {
        const int64_t slotRow = int64_t(slot) * p.slotRows + row;
        storeLaneRow<D>(node, p.partialOutput + slotRow * D, lane);
        if (lane == 0) p.partialState[slotRow] = state;
      } else {
        writeMerged<T, D>(p, piece.queryStart, head, piece.rowStart + row, lane, node, state.x, state.y);
      }
    }
    shared.sync();
  }
}

/**
 * Taller tiles: every warp holds its own 16 rows over all tokens. Climbs the tree from the chunk that has ended; false where the node
 * then waits in the stack, in rows `stackRow` on. A final node is left in `block`, each sum with one of its four lanes.
 */
template <class T, int D>
__device__ __forceinline__ bool climbRows(const NodeStack<D>& stack, const Climb& climb, RowBlock<T, D>& block, int stackRow, int lane) {
  block.finishSums();
  const int t = lane & 3;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = stackRow + (lane >> 2) + 8 * half;
    const bool valid = row < stack.rows;
    for (int i = climb.waiting - 1; i >= climb.waiting - climb.folds && valid; i--) {
      const float2 left = *stack.state(i, row);
      const float* from = stack.row(i, row) + 2 * t;
      const MergeFactors factors(left.x, block.maximum[half]);
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        const float2 x = *reinterpret_cast<const float2*>(from + j * 8);
        block.o[j][2 * half] = mergeElement(x.x, factors.left, block.o[j][2 * half], factors.right);
        block.o[j][2 * half + 1] = mergeElement(x.y, factors.left, block.o[j][2 * half + 1], factors.right);
      }
      block.sum[half] = mergeElement(left.y, factors.left, block.sum[half], factors.right);
      block.maximum[half] = factors.maximum;
    }
    __syncwarp();
    if (climb.isFinal) {
      if (t != 0) block.sum[half] = 0.f;
    } else if (valid) {
      float* to = stack.row(climb.left() - 1, row) + 2 * t;
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        *reinterpret_cast<float2*>(to + j * 8) = make_float2(block.o[j][2 * half], block.o[j][2 * half + 1]);
      }
      if (t == 0) *stack.state(climb.left() - 1, row) = make_float2(block.maximum[half], block.sum[half]);
    }
  }
  __syncwarp();
  return climb.isFinal;
}

/** As walkPieces of attention.cuh, with a node for each chunk. */
template <class T, int D, bool kTimed, bool kTall>
__global__ void __launch_bounds__(kThreads, Shape<D>::ctasPerSm) canonicalKernel(const __grid_constant__ CanonicalParams c) {
  extern __shared__ __align__(1024) uint8_t sharedBytes[];
  const AttentionParams& p = c.attention;
  constexpr int stages = Shape<D>::stages, lookahead = Shape<D>::lookahead;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  uint8_t* const nodes = sharedBytes + Shape<D>::sharedBytes;
  const Canonical<SharedMemory> shared{SharedMemory::in<D>(sharedBytes), reinterpret_cast<float*>(nodes)};
  ptx::allowNextLaunch();
  uint32_t startCycle = 0, cycles[4] = {};
  if constexpr (kTimed) startCycle = clock();
  const WorkerRecord& worker = p.workers[blockIdx.x];
  const int recordCount = worker.end - worker.start;
  if (recordCount <= 0) return;
  const UnitRange units = UnitRange::of(p, worker);
  const RecordTable records{shared.records + warp * kNearbyRecords, p.pieces + worker.start, min(recordCount, kNearbyRecords)};
  const uint64_t policyOnce = ptx::policyEvictFirst(), policyShared = ptx::policyEvictNormal();

  TileQueue<D> cursor;
  RowBlock<T, D> block;
  bool isFull;
  const uint32_t begun = beginWorker<kTall>(p, shared, worker, records, recordCount, units, policyOnce, policyShared, warp, lane, cursor, block, isFull);
  const PieceRecord* piece = records.nearby;
  int stage = 0;

  for (int record = 0; record < recordCount;) {
    const bool tall = kTall && piece->tall();
    const NodeStack<D> stack(c, nodes, CanonicalShape<D>::stackBytes, piece->validRows(), blockIdx.x);
    const ChunkRange chunks(c, *piece);
    for (int h = 0;; h++) {
      const int head = piece->head + h, firstSlot = chunks.slotOf(*piece, h);
      uint64_t startNs = 0, endNs = 0;
      if constexpr (kTimed) startNs = ptx::globalTimerNs();
      int token = piece->kvStart, slot = firstSlot, waiting = 0;
#pragma unroll 1
      for (int unit = chunks.from, size; unit < chunks.to; unit += size) {
        block.reset();
        size = chunks.grid.sizeAt(unit);
        const int end = chunks.tokenEnd(unit + size, *piece);
#pragma unroll 1
        for (; token < end; token += kTileTokens) {
          const int refill = stage + lookahead < stages ? stage + lookahead : stage + lookahead - stages;
          const uint32_t stageAddress = shared.ring + stage * Shape<D>::stageBytes;
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
        const Climb climb(unit, size, chunks, slot < 0, waiting);
        if (!tall) {
          pushCombined<T, D>(p, shared, stack, *piece, head, climb, slot, block, warp, lane);
        } else if (climbRows<T, D>(stack, climb, block, warp * 16, lane)) {
          writeRows<T, D>(p, *piece, head, slot, block.o, block.maximum, block.sum, warp * 16, lane);
        }
        waiting = climb.left();
        if (slot >= 0 && climb.isFinal) slot++;
      }
      if (tall) __syncthreads();
      if constexpr (kTimed) endNs = ptx::globalTimerNs(), cycles[2] = clock() - startCycle;
      const PieceRecord& current = *piece;
      const bool lastHead = h + 1 == piece->headCount;
      if (lastHead) record++;
      if (record < recordCount) {
        if (lastHead) piece = &records[record];
        const int nextHead = lastHead ? piece->head : piece->head + h + 1;
        block.loadQuery(p, *piece, nextHead, kTall && piece->tall() ? warp * 16 : 0, lane);
      }
      if (firstSlot >= 0) announceSlot(p, current, firstSlot, h, shared.thread());
      if constexpr (kTimed) {
        if (threadIdx.x == 0) {
          cycles[3] = clock() - startCycle;
          p.pieceTrace[current.firstPiece + h] = {startNs, endNs, ptx::smId(), blockIdx.x, {cycles[0], cycles[1], cycles[2], cycles[3]}};
        }
      }
      if (lastHead) break;
    }
  }
  endWorker<T, D, kTimed>(p, shared, units, begun, warp, lane, startCycle);
}

/** The merge units alone, behind a launch of more CTAs than are resident at a time. */
template <class T, int D, bool kTimed>
__global__ void __launch_bounds__(kThreads, 2) canonicalMergeKernel(const __grid_constant__ CanonicalParams c) {
  __shared__ float combine[kWarps * kCombineRows * D];
  __shared__ float2 states[kWarps * 16];
  const Canonical<SharedMemory> shared{{0, combine, states, nullptr, nullptr}, nullptr};
  ptx::waitForPreviousLaunch();
  const AttentionParams& p = c.attention;
  const WorkerRecord& worker = p.workers[blockIdx.x];
  uint32_t startCycle = 0;
  if constexpr (kTimed) startCycle = clock();
  const int start = worker.unitStart, awaited = worker.awaitedStart, end = worker.unitEnd, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (start < awaited) mergeUnits<T, D, kTimed>(p, shared, p.units[start].counted, start, awaited, INT_MAX, warp, lane, startCycle);
  for (int u = awaited; u < end; u++) mergeParts<T, D, kTimed>(p, shared, p.units[u].awaited, INT_MAX, warp, lane, startCycle);
}

}  // namespace isochron
