// Batch-invariant attention: bits that depend on a request alone, not on its neighbours nor on how its jobs were cut.
//
// KV positions lie on an absolute grid of chunks (the plan's mergeGridTokens). A chunk's state is a pure function of the
// chunk and of the query tile: tiles of 64 tokens begin at multiples of 64, and the warps' states combine in one fixed order at each
// chunk's end. Chunks combine in the canonical binary tree: node (level, i) merges nodes (level − 1, 2i) and
// (level − 1, 2i + 1), always in this order and with the same three instructions an element. A piece leaves the largest
// nodes inside it; the last arriver of a job finishes the tree along `folds`, which the image lists for every source.
// A node waits for its right sibling in a place for each level: shared memory, or behind it global memory. One warp owns a
// row of a node from beginning to end, so nothing but the warps' combination needs a barrier.
#pragma once
#include "attention.cuh"
#include "invariant.h"

namespace isochron {

template <int D>
struct CanonicalShape {
  static constexpr int stackBytes = D == 256 ? 32768 : 24576;
  static constexpr int sharedBytes = Shape<D>::sharedBytes + stackBytes;
  /** Entries of a warp's stack when it finishes a tree: in the warps' place for combining, and in the nodes' place. */
  static constexpr int entriesEach = kCombineRows;
  static_assert(stackBytes >= kWarps * entriesEach * D * 4);
  static_assert(2 * entriesEach >= kCanonicalLevels + 3);
};

/** left ⊕ right of one element, given the factors of both states. Written out: no compiler may contract it otherwise. */
__device__ __forceinline__ float mergeElement(float left, float leftFactor, float right, float rightFactor) {
  return __fmaf_rn(left, leftFactor, __fmul_rn(right, rightFactor));
}

struct MergeFactors {
  float maximum, left, right;
  __device__ __forceinline__ MergeFactors(float leftMaximum, float rightMaximum) {
    maximum = fmaxf(leftMaximum, rightMaximum);
    const float reference = maximum == -INFINITY ? 0.f : maximum;
    left = ptx::exp2Fast(leftMaximum - reference);
    right = ptx::exp2Fast(rightMaximum - reference);
  }
};

/** Bit l: the node of level l that ends with `chunk` merges with its left sibling. */
struct Climb {
  uint32_t folds;
  int level;     // of the node that results
  bool isFinal;  // no larger node of the piece holds it

  /** Chunks [from, to) of a piece; `whole`: the piece is its whole job. */
  __device__ __forceinline__ Climb(int chunk, int from, int to, bool whole) {
    folds = 0;
    const bool finishes = whole && chunk + 1 == to;
    for (level = 0; level < kCanonicalLevels; level++) {
      const int index = chunk >> level;
      if ((index & 1) == 0) {
        if (finishes) continue;
        break;
      }
      const int leftStart = (index - 1) << level, leftEnd = index << level;
      if (whole ? leftEnd > from : leftStart >= from) folds |= 1u << level;
      else if (!whole) break;
    }
    const int parent = (chunk >> (level + 1)) << (level + 1);
    isFinal = finishes || (!whole && (parent < from || parent + (2 << level) > to));
  }
};

/** Where nodes wait for their right sibling: one for each level. */
template <int D>
struct NodeStack {
  float* shared;
  float* spilled;
  int rows, sharedLevels, spilledRows;

  __device__ __forceinline__ NodeStack(const CanonicalParams& c, uint8_t* memory, int rows, int worker) : rows(rows) {
    shared = reinterpret_cast<float*>(memory);
    sharedLevels = CanonicalShape<D>::stackBytes / (rows * (D + 2) * 4);
    spilledRows = c.spilledRows;
    spilled = c.spilled + int64_t(worker) * c.levels * spilledRows * (D + 2);
  }
  __device__ __forceinline__ float* node(int level) const {
    return level < sharedLevels ? shared + level * rows * (D + 2) : spilled + int64_t(level) * spilledRows * (D + 2);
  }
  __device__ __forceinline__ float* row(int level, int row) const { return node(level) + row * D; }
  __device__ __forceinline__ float2* state(int level, int row) const {
    const int all = level < sharedLevels ? rows : spilledRows;
    return reinterpret_cast<float2*>(node(level) + all * D) + row;
  }
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

/** What becomes of a chunk's node in one piece. */
struct NodeTarget {
  Climb climb;
  int slot;  // of a final node of a split job; −1: the final output
};

/** Decode: combines the four warps' states of the chunk that has ended, climbs the tree, and leaves the node where it belongs. */
template <class T, int D>
__device__ __forceinline__ void pushCombined(const AttentionParams& p, const SharedMemory& shared, const NodeStack<D>& stack,
                                             const PieceRecord& piece, int head, const NodeTarget& target, RowBlock<T, D>& block,
                                             int warp, int lane) {
  block.finishSums();
  const int g = lane >> 2, t = lane & 3;
  if (t == 0) {
    shared.states[warp * 16 + g] = make_float2(block.maximum[0], block.sum[0]);
    shared.states[warp * 16 + g + 8] = make_float2(block.maximum[1], block.sum[1]);
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    if (half * 8 >= piece.validRows()) break;
    float* mine = shared.combine + (warp * kCombineRows + g) * D;
    if (half * 8 + g < piece.validRows()) {
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        *reinterpret_cast<float2*>(mine + ((j * 8 + 2 * t) ^ ((g & 3) << 3))) =
            make_float2(block.o[j][2 * half], block.o[j][2 * half + 1]);
      }
    }
    __syncthreads();
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
      for (uint32_t folds = target.climb.folds; folds != 0; folds &= folds - 1) {
        const int level = __ffs(folds) - 1;
        foldLeft<D>(stack.row(level, row), *stack.state(level, row), node, state, lane);
      }
      if (!target.climb.isFinal) {
        storeLaneRow<D>(node, stack.row(target.climb.level, row), lane);
        if (lane == 0) *stack.state(target.climb.level, row) = state;
        __syncwarp();
      } else if (target.slot >= 0) {
        const int64_t slotRow = int64_t(target.slot) * p.slotRows + row;
        storeLaneRow<D>(node, p.partialOutput + slotRow * D, lane);
        if (lane == 0) p.partialState[slotRow] = state;
      } else {
        writeMerged<T, D>(p, piece.queryStart, head, piece.rowStart + row, lane, node, state.x, state.y);
      }
    }
    __syncthreads();
  }
}

/** Taller tiles: every warp holds its own 16 rows over all tokens; the same, in the layout of the accumulators. */
template <class T, int D>
__device__ __forceinline__ void pushRows(const AttentionParams& p, const NodeStack<D>& stack, const PieceRecord& piece, int head,
                                         const NodeTarget& target, RowBlock<T, D>& block, int warp, int lane) {
  block.finishSums();
  const int t = lane & 3;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = warp * 16 + (lane >> 2) + 8 * half;
    const bool valid = row < piece.validRows();
    float maximum = block.maximum[half], sum = block.sum[half];
    for (uint32_t folds = target.climb.folds; folds != 0; folds &= folds - 1) {
      if (!valid) break;
      const int level = __ffs(folds) - 1;
      const float2 left = *stack.state(level, row);
      const float* from = stack.row(level, row);
      const MergeFactors factors(left.x, maximum);
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        const float2 x = *reinterpret_cast<const float2*>(from + j * 8 + 2 * t);
        block.o[j][2 * half] = mergeElement(x.x, factors.left, block.o[j][2 * half], factors.right);
        block.o[j][2 * half + 1] = mergeElement(x.y, factors.left, block.o[j][2 * half + 1], factors.right);
      }
      sum = mergeElement(left.y, factors.left, sum, factors.right);
      maximum = factors.maximum;
    }
    __syncwarp();
    if (!valid) continue;
    if (target.climb.isFinal && target.slot < 0) {
      const int64_t tokenHead = locateRow(p, piece, head, row).tokenHead;
      const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
      const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
      uint32_t* output = reinterpret_cast<uint32_t*>(static_cast<T*>(p.output) + tokenHead * D) + t;
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        output[j * 4] = ptx::pack<T>(__fmul_rn(block.o[j][2 * half], inverse), __fmul_rn(block.o[j][2 * half + 1], inverse));
      }
      if (t == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
      continue;
    }
    const int64_t slotRow = int64_t(target.slot) * p.slotRows + row;
    float* to = target.climb.isFinal ? p.partialOutput + slotRow * D : stack.row(target.climb.level, row);
#pragma unroll
    for (int j = 0; j < D / 8; j++) {
      *reinterpret_cast<float2*>(to + j * 8 + 2 * t) = make_float2(block.o[j][2 * half], block.o[j][2 * half + 1]);
    }
    if (t == 0) *(target.climb.isFinal ? p.partialState + slotRow : stack.state(target.climb.level, row)) = make_float2(maximum, sum);
  }
  __syncwarp();
}

/** Finishes the tree of one row from its nodes, left to right; one warp. */
template <class T, int D>
__device__ __forceinline__ void finishRow(const AttentionParams& p, const SharedMemory& shared, float* nodes, const MergeRecord& merge,
                                          int row, int warp, int lane) {
  constexpr int depth = D == 256 ? 4 : 8;
  const int sources = merge.sourceEnd - merge.sourceStart;
  auto entry = [&](int e) {
    return e < kCombineRows ? shared.combine + (warp * kCombineRows + e) * D : nodes + (warp * kCombineRows + e - kCombineRows) * D;
  };
  LaneRow<D> node;
  float2 state = make_float2(-INFINITY, 0.f);
#pragma unroll
  for (int i = 0; i < D / 32; i++) node.v[i] = 0.f;
  int top = 0;
#pragma unroll 1
  for (int base = 0; base < sources; base += depth) {
    const SourceRecord source = p.sources[merge.sourceStart + min(base + (lane & (depth - 1)), sources - 1)];
    const int index = source.slot * p.slotRows + (source.slotRow & 0xffff) + row;
    const int foldsOfLane = source.slotRow >> 16;
    const float2 stateOfLane = __ldcg(p.partialState + index);
    LaneRow<D> rows[depth];
#pragma unroll
    for (int i = 0; i < depth; i++) rows[i].load(p.partialOutput + int64_t(__shfl_sync(0xffffffffu, index, i)) * D, lane);
#pragma unroll
    for (int i = 0; i < depth; i++) {
      if (base + i >= sources) break;
      node = rows[i];
      state.x = __shfl_sync(0xffffffffu, stateOfLane.x, i);
      state.y = __shfl_sync(0xffffffffu, stateOfLane.y, i);
      for (int folds = __shfl_sync(0xffffffffu, foldsOfLane, i); folds > 0 && top > 0; folds--) {
        top--;
        foldLeft<D>(entry(top), shared.states[warp * 16 + top], node, state, lane);
      }
      if (base + i + 1 < sources) {
        storeLaneRow<D>(node, entry(top), lane);
        __syncwarp();
        if (lane == 0) shared.states[warp * 16 + top] = state;
        __syncwarp();
        top++;
      }
    }
  }
  writeMerged<T, D>(p, merge.queryStart, merge.head, merge.rowStart + row, lane, node, state.x, state.y);
  __syncwarp();
}

/** Announces that the nodes of a piece are written, and finishes the job's tree where they were the last. */
template <class T, int D, bool kTimed>
__device__ __noinline__ void arriveCanonical(const AttentionParams& p, const SharedMemory& shared, float* nodes, int job, int warp,
                                             int lane, uint32_t startCycle) {
  __threadfence();
  __syncthreads();
  bool isLast = false;
  const JobRecord record = p.jobs[job];
  if (threadIdx.x == 0) {
    isLast = ptx::countArrival(p.counters + job) == record.arrivals - 1;
    if (isLast) p.counters[job] = 0;
  }
  if (__syncthreads_or(isLast)) {
#pragma unroll 1
    for (int m = record.mergeStart; m < record.mergeEnd; m++) {
      uint64_t startNs = 0;
      uint32_t cycle = 0;
      if constexpr (kTimed) startNs = ptx::globalTimerNs(), cycle = clock() - startCycle;
      const MergeRecord merge = p.merges[m];
#pragma unroll 1
      for (int row = warp; row < merge.rowCount; row += kWarps) finishRow<T, D>(p, shared, nodes, merge, row, warp, lane);
      if constexpr (kTimed) {
        __syncthreads();
        if (threadIdx.x == 0) {
          p.mergeTrace[m] = {startNs, ptx::globalTimerNs(), ptx::smId(), blockIdx.x, {cycle, uint32_t(clock()) - startCycle, 0, 0}};
        }
      }
    }
    __syncthreads();
  }
}

/** As attentionKernel, with a node for each chunk. */
template <class T, int D, bool kTimed, bool kTall>
__global__ void __launch_bounds__(kThreads, Shape<D>::ctasPerSm) canonicalKernel(const __grid_constant__ CanonicalParams c) {
  extern __shared__ __align__(1024) uint8_t sharedBytes[];
  const AttentionParams& p = c.attention;
  constexpr int stages = Shape<D>::stages, lookahead = Shape<D>::lookahead;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  uint8_t* const combine = sharedBytes + Shape<D>::ringBytes;
  uint8_t* const states = combine + Shape<D>::combineBytes;
  uint8_t* const nodes = sharedBytes + Shape<D>::sharedBytes;
  const SharedMemory shared{ptx::sharedAddress(sharedBytes), reinterpret_cast<float*>(combine), reinterpret_cast<float2*>(states),
                            reinterpret_cast<PieceRecord*>(states + Shape<D>::stateBytes)};
  ptx::allowNextLaunch();
  uint32_t startCycle = 0, cycles[4] = {};
  if constexpr (kTimed) startCycle = clock();
  const WorkerRecord& worker = p.workers[blockIdx.x];
  const int recordCount = worker.end - worker.start;
  if (recordCount <= 0) return;
  const RecordTable records{shared.records + warp * kNearbyRecords, p.pieces + worker.start, min(recordCount, kNearbyRecords)};
  const uint64_t policyOnce = ptx::policyEvictFirst(), policyShared = ptx::policyEvictNormal();

  LoadCursor<D> cursor;
  cursor.record = 0;
  cursor.recordCount = recordCount;
  cursor.enter(worker.first);
  constexpr int quads = sizeof(PieceRecord) / 16;
  uint4* table = reinterpret_cast<uint4*>(shared.records + warp * kNearbyRecords);
  for (int i = lane; i < records.count * quads; i += 32) table[i] = __ldg(reinterpret_cast<const uint4*>(records.all) + i);
  __syncwarp();
  cursor.skipEmpty(records);
  cursor.next = cursor.lookUp(p, warp, lane);
  const PieceRecord* piece = records.nearby;
  RowBlock<T, D> block;
  block.prefetchQuery(p, *piece, piece->head, kTall && piece->tall() ? warp * 16 : 0, lane);
  bool waited = p.historyIsReady == 0;
  if (waited) ptx::waitForPreviousLaunch();
  int stage = 0;
#pragma unroll 1
  for (int filled = 0; filled < lookahead; filled++) {
    if (!waited && !cursor.next.onlyHistory) {
      ptx::waitForPreviousLaunch();
      waited = true;
    }
    cursor.copy(p, shared.ring, filled, warp, lane, policyOnce, policyShared);
    if (filled == 0) cursor.advance(p, records, warp, lane);
    if (cursor.next.live) {
      cursor.next = cursor.afterNext;
      cursor.advance(p, records, warp, lane);
    }
  }
  if (!waited) ptx::waitForPreviousLaunch();
  block.loadQuery(p, *piece, piece->head, kTall && piece->tall() ? warp * 16 : 0, lane);

  for (int record = 0;;) {
    const bool tall = kTall && piece->tall();
    const NodeStack<D> stack(c, nodes, piece->validRows(), blockIdx.x);
    const int fromChunk = piece->kvStart / c.gridTokens;
    const int toChunk = max(fromChunk + 1, (piece->kvEnd + c.gridTokens - 1) / c.gridTokens);
    for (int h = 0, slot = piece->slot;; h++) {
      const int head = piece->head + h, firstSlot = slot;
      uint64_t startNs = 0, endNs = 0;
      if constexpr (kTimed) startNs = ptx::globalTimerNs();
      int token = piece->kvStart;
#pragma unroll 1
      for (int chunk = fromChunk; chunk < toChunk; chunk++) {
        block.reset();
        const int end = min(piece->kvEnd, (chunk + 1) * c.gridTokens);
        for (; token < end; token += kTileTokens) {
          const int refill = stage + lookahead < stages ? stage + lookahead : stage + lookahead - stages;
          const uint32_t stageAddress = shared.ring + stage * Shape<D>::stageBytes;
          if (tall) {
            ptx::copyAsyncWait<lookahead - 1>();
            __syncthreads();
          }
          cursor.issue(p, records, shared.ring, refill, warp, lane, policyOnce, policyShared);
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
        const NodeTarget target{Climb(chunk, fromChunk, toChunk, slot < 0), slot};
        if (tall) pushRows<T, D>(p, stack, *piece, head, target, block, warp, lane);
        else pushCombined<T, D>(p, shared, stack, *piece, head, target, block, warp, lane);
        if (slot >= 0 && target.climb.isFinal) slot++;
      }
      if (tall) __syncthreads();
      if constexpr (kTimed) endNs = ptx::globalTimerNs(), cycles[2] = clock() - startCycle;
      const PieceRecord& current = *piece;
      const bool lastHead = h + 1 == piece->headCount, last = lastHead && record + 1 == recordCount;
      if (!last) {
        if (lastHead) piece = &records[++record];
        const int nextHead = lastHead ? piece->head : piece->head + h + 1;
        block.loadQuery(p, *piece, nextHead, kTall && piece->tall() ? warp * 16 : 0, lane);
      }
      if (firstSlot >= 0) {
        const int job = current.job >= 0 ? current.job : p.slotJobs[p.slotJobIndptr[firstSlot]];
        arriveCanonical<T, D, kTimed>(p, shared, reinterpret_cast<float*>(nodes), job, warp, lane, startCycle);
      }
      if constexpr (kTimed) {
        if (threadIdx.x == 0) {
          cycles[3] = clock() - startCycle;
          p.pieceTrace[current.firstPiece + h] = {startNs, endNs, ptx::smId(), blockIdx.x, {cycles[0], cycles[1], cycles[2], cycles[3]}};
        }
      }
      if (last) return;
      if (lastHead) break;
    }
  }
}

}  // namespace isochron
