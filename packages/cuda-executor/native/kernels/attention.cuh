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
  static constexpr bool awaitsRows = true;  // merge units may: merge_units.cuh

  static __device__ __forceinline__ void sync() { __syncthreads(); }
  static __device__ __forceinline__ bool syncOr(bool value) { return __syncthreads_or(value); }
  /** This thread among the 128. */
  static __device__ __forceinline__ int thread() { return threadIdx.x; }
  /** The worker that the current piece belongs to. */
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

/** Where a packed row of a piece lives in the query and output tensors; −1 for rows past the piece's end. */
struct RowAddress {
  int64_t tokenHead;  // token × queryHeads + query head
  int position;       // absolute KV position of the query token
};

/** The member of a group that a packed row belongs to: the last whose rows begin at or before it. */
static __device__ __noinline__ int findMember(const MemberRecord* members, int start, int count, int packedRow) {
  int low = start, high = start + count - 1;
  // Members mostly have as many rows as the first: the right one is found at once, or the search narrowed by one trip.
  const int guess = min(low + packedRow / max(members[low].rows, 1), high);
  const int begin = members[guess].rowBegin;
  if (begin > packedRow) high = guess - 1;
  else if (begin + members[guess].rows > packedRow) low = high = guess;
  else low = guess;
  while (low < high) {
    const int middle = (low + high + 1) >> 1;
    if (members[middle].rowBegin <= packedRow) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Stands for a member's KV tokens before its query tokens, where these are not a group's: those all are before them. */
constexpr int kGroupHistory = 0x3fffffff;

/** packedRow / packedHeads; a division takes 30 instructions. */
__device__ __forceinline__ int tokenOf(const AttentionParams& p, int packedRow) {
  const int token = int(__umulhi(packedRow, p.packedHeadsReciprocal));
  return packedRow - token * p.packedHeads < p.packedHeads ? token : token + 1;  // never more than one too small
}

__device__ __forceinline__ RowAddress locateRow(const AttentionParams& p, const PieceRecord& piece, int head, int row) {
  int queryStart = piece.queryStart, packedRow = piece.rowStart + row, history = piece.kvLen - piece.qoLen;
  if (piece.memberCount > 0) {
    const int low = findMember(p.members, piece.memberStart, piece.memberCount, packedRow);
    const MemberRecord member = p.members[low];
    packedRow -= member.rowBegin;
    queryStart = member.queryStart;
    history = kGroupHistory;
  }
  const int token = tokenOf(p, packedRow);
  const int queryHead = head * p.packedHeads + (packedRow - token * p.packedHeads);
  return {int64_t(queryStart + token) * p.queryHeads + queryHead, history + token};
}

}  // namespace isochron

#include "tile_queue.cuh"

namespace isochron {

/** Softmax state of 16 query rows, spread over a warp as m16n8 accumulators: rows lane / 4 and lane / 4 + 8. */
template <class T, int D>
struct RowBlock {
  uint32_t q[D / 16][4];
  float o[D / 8][4];
  float maximum[2], sum[2];
  int low[2], high[2];     // visible KV tokens [low, high) of the two rows
  int commonLow, commonHigh;  // visible to all 16 rows
  int anyHigh;             // nothing at or past it is visible to any row

  /** Brings the query rows to L2, where later writes by others still reach them. */
  __device__ __forceinline__ void prefetchQuery(const AttentionParams& p, const PieceRecord& piece, int head, int rowBase, int lane) {
    if (lane < 16 && rowBase + lane < piece.validRows()) {
      const char* row = static_cast<const char*>(p.query) + locateRow(p, piece, head, rowBase + lane).tokenHead * (D * 2);
#pragma unroll
      for (int byte = 0; byte < D * 2; byte += 128) ptx::prefetchL2(row + byte);
    }
  }

  /** Loads the query rows [rowBase, rowBase + 16) of the piece; rows past its end are zeros. */
  __device__ __forceinline__ void loadQuery(const AttentionParams& p, const PieceRecord& piece, int head, int rowBase, int lane) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = rowBase + (lane >> 2) + 8 * half;
      const bool valid = row < piece.validRows();
      low[half] = 0;
      high[half] = piece.kvEnd;
      if (valid) {
        const RowAddress at = locateRow(p, piece, head, row);
        const uint32_t* source =
            reinterpret_cast<const uint32_t*>(static_cast<const T*>(p.query) + at.tokenHead * D) + (lane & 3);
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
          q[k][half] = source[k * 8];
          q[k][half + 2] = source[k * 8 + 4];
        }
        if (p.causal) high[half] = min(piece.kvEnd, at.position + 1);
        if (p.window > 0) low[half] = max(0, at.position - p.window + 1);
      } else {
#pragma unroll
        for (int k = 0; k < D / 16; k++) q[k][half] = q[k][half + 2] = 0;
      }
    }
    const bool any0 = rowBase + (lane >> 2) < piece.validRows(), any1 = rowBase + (lane >> 2) + 8 < piece.validRows();
    commonLow = __reduce_max_sync(0xffffffffu, max(low[0], low[1]));
    commonHigh = __reduce_min_sync(0xffffffffu, min(high[0], high[1]));
    anyHigh = __reduce_max_sync(0xffffffffu, max(any0 ? high[0] : 0, any1 ? high[1] : 0));
  }

  __device__ __forceinline__ void reset() {
    maximum[0] = maximum[1] = -INFINITY;
    sum[0] = sum[1] = 0.f;
#pragma unroll
    for (int j = 0; j < D / 8; j++) o[j][0] = o[j][1] = o[j][2] = o[j][3] = 0.f;
  }

  /** Takes in 16 KV tokens, `firstToken` onwards, that lie at rows [row, row + 16) of a stage. */
  __device__ __forceinline__ void takeTokens(const AttentionParams& p, uint32_t stage, int row, int firstToken, int lane) {
    const int matrix = lane >> 3, swizzle = lane & 7;
    float s[2][4] = {};
    {
      const uint32_t rowAddress = stage + (row + swizzle + (matrix >> 1) * 8) * 128;
      const uint32_t unit = ((matrix & 1) ^ swizzle) << 4;
#pragma unroll
      for (int k = 0; k < D / 16; k++) {
        uint32_t b[4];
        ptx::loadMatrix4(b, rowAddress + (k >> 2) * Shape<D>::planeBytes + (unit ^ ((k & 3) << 5)));
        ptx::multiplyAdd<T>(s[0], q[k], b[0], b[1]);
        ptx::multiplyAdd<T>(s[1], q[k], b[2], b[3]);
      }
    }
    const bool masked = firstToken + kWarpTokens > commonHigh || firstToken < commonLow;
#pragma unroll
    for (int n = 0; n < 2; n++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        if (p.softCapLog2 > 0.f) {  // tanh(x) = 1 − 2 / (1 + e^2x)
          s[n][e] = p.softCapLog2 * (1.f - __fdividef(2.f, 1.f + ptx::exp2Fast(s[n][e] * p.scaleOverSoftCap)));
        } else {
          s[n][e] *= p.scaleLog2;
        }
        if (masked) {
          const int token = firstToken + n * 8 + (lane & 3) * 2 + (e & 1);
          if (token >= high[e >> 1] || token < low[e >> 1]) s[n][e] = -INFINITY;
        }
      }
    }
    float reference[2];
    bool grew = false;
    float previous[2] = {maximum[0], maximum[1]};
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float m = fmaxf(fmaxf(s[0][2 * half], s[0][2 * half + 1]), fmaxf(s[1][2 * half], s[1][2 * half + 1]));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
      grew |= m > maximum[half];
      maximum[half] = fmaxf(maximum[half], m);
      reference[half] = maximum[half] == -INFINITY ? 0.f : maximum[half];
    }
    if (__any_sync(0xffffffffu, grew)) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float factor = ptx::exp2Fast(previous[half] - reference[half]);
        sum[half] *= factor;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
          o[j][2 * half] *= factor;
          o[j][2 * half + 1] *= factor;
        }
      }
    }
#pragma unroll
    for (int n = 0; n < 2; n++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[n][e] = ptx::exp2Fast(s[n][e] - reference[e >> 1]);
        sum[e >> 1] += s[n][e];
      }
    }
    const uint32_t probability[4] = {ptx::pack<T>(s[0][0], s[0][1]), ptx::pack<T>(s[0][2], s[0][3]),
                                     ptx::pack<T>(s[1][0], s[1][1]), ptx::pack<T>(s[1][2], s[1][3])};
    {
      const uint32_t rowAddress = stage + Shape<D>::tensorBytes + (row + swizzle + (matrix & 1) * 8) * 128;
      const uint32_t unit = ((matrix >> 1) ^ swizzle) << 4;
#pragma unroll
      for (int j = 0; j < D / 16; j++) {
        uint32_t b[4];
        ptx::loadMatrix4Transposed(b, rowAddress + (j >> 2) * Shape<D>::planeBytes + (unit ^ ((j & 3) << 5)));
        ptx::multiplyAdd<T>(o[2 * j], probability, b[0], b[1]);
        ptx::multiplyAdd<T>(o[2 * j + 1], probability, b[2], b[3]);
      }
    }
  }

  /** Adds up the row sums that the four lanes of a row hold apart. */
  __device__ __forceinline__ void finishSums() {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
      sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
    }
  }
};

/** A sink joins the sum of exponentials, carrying no value. Returns the factor that the output must be scaled by. */
__device__ __forceinline__ float joinSink(const AttentionParams& p, int64_t tokenHead, float& maximum, float& sum) {
  if (p.sinks == nullptr) return 1.f;
  const float sink = p.sinks[tokenHead % p.queryHeads] * kLog2e;
  const float joint = fmaxf(maximum, sink);
  const float factor = maximum == -INFINITY ? 0.f : ptx::exp2Fast(maximum - joint);
  sum = sum * factor + ptx::exp2Fast(sink - joint);
  maximum = joint;
  return factor;
}

__device__ __forceinline__ float naturalLse(float maximum, float sum) {
  return sum > 0.f ? (maximum + ptx::log2Fast(sum)) * kLn2 : -INFINITY;
}

}  // namespace isochron

#include "awaited_rows.cuh"

namespace isochron {

/** Decode: the four warps hold states of the same rows over different tokens; combines and writes them. */
template <class T, int D, class Shared>
__device__ __forceinline__ void writeCombined(const AttentionParams& p, const Shared& shared, const PieceRecord& piece,
                                              int head, int slot, RowBlock<T, D>& block, int warp, int lane) {
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
    shared.sync();
    constexpr int quads = D / 4;
    for (int f = shared.thread(); f < kCombineRows * quads; f += kThreads) {
      const int r = f / quads, column = (f % quads) * 4, row = half * 8 + r;
      if (row >= piece.validRows()) break;
      float maximum = -INFINITY, sum = 0.f;
#pragma unroll
      for (int w = 0; w < kWarps; w++) maximum = fmaxf(maximum, shared.states[w * 16 + row].x);
      const float reference = maximum == -INFINITY ? 0.f : maximum;
      float4 total = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll
      for (int w = 0; w < kWarps; w++) {
        const float2 state = shared.states[w * 16 + row];
        const float factor = ptx::exp2Fast(state.x - reference);
        sum += factor * state.y;
        const float4 part =
            *reinterpret_cast<const float4*>(shared.combine + (w * kCombineRows + r) * D + (column ^ ((r & 3) << 3)));
        total.x += factor * part.x;
        total.y += factor * part.y;
        total.z += factor * part.z;
        total.w += factor * part.w;
      }
      if (slot >= 0 && piece.isAwaited()) {
        writeAwaited<D>(p, int64_t(piece.awaitedPlace()) * kAwaitedRows + row, column, total, make_float2(maximum, sum));
      } else if (slot >= 0) {
        const int64_t slotRow = int64_t(slot) * p.slotRows + row;
        __stcg(reinterpret_cast<float4*>(p.partialOutput + slotRow * D + column), total);
        if (column == 0) __stcg(p.partialState + slotRow, make_float2(maximum, sum));
      } else {
        const int64_t tokenHead = locateRow(p, piece, head, row).tokenHead;
        const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
        const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
        *reinterpret_cast<uint2*>(static_cast<T*>(p.output) + tokenHead * D + column) =
            make_uint2(ptx::pack<T>(total.x * inverse, total.y * inverse), ptx::pack<T>(total.z * inverse, total.w * inverse));
        if (column == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
      }
    }
    shared.sync();
  }
}

/** Taller tiles: every warp writes its own 16 rows, [rowBase, rowBase + 16) of the piece. */
template <class T, int D>
__device__ __forceinline__ void writeRows(const AttentionParams& p, const PieceRecord& piece, int head, int slot,
                                          const float (&o)[D / 8][4], const float (&maxima)[2], const float (&sums)[2],
                                          int rowBase, int lane) {
  const int t = lane & 3;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = rowBase + (lane >> 2) + 8 * half;
    float maximum = maxima[half], sum = sums[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (row >= piece.validRows()) continue;
    if (slot >= 0) {
      const int64_t slotRow = int64_t(slot) * p.slotRows + row;
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        __stcg(reinterpret_cast<float2*>(p.partialOutput + slotRow * D + j * 8 + 2 * t),
               make_float2(o[j][2 * half], o[j][2 * half + 1]));
      }
      if (t == 0) __stcg(p.partialState + slotRow, make_float2(maximum, sum));
    } else {
      const int64_t tokenHead = locateRow(p, piece, head, row).tokenHead;
      const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
      const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
      uint32_t* target = reinterpret_cast<uint32_t*>(static_cast<T*>(p.output) + tokenHead * D) + t;
#pragma unroll
      for (int j = 0; j < D / 8; j++) {
        target[j * 4] = ptx::pack<T>(o[j][2 * half] * inverse, o[j][2 * half + 1] * inverse);
      }
      if (t == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
    }
  }
}

}  // namespace isochron

#include "merge_units.cuh"
#include "tall.cuh"

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
  cursor.record = 0;
  cursor.recordCount = recordCount;
  cursor.ids = ptx::sharedAddress(shared.pageIds + warp * kIdTiles * kWarpTokens);
  cursor.enter(worker.first);
  const bool startsEmpty = cursor.token >= cursor.kvEnd;
  cursor.ahead[0] = cursor.locate(p, warp, lane);
  int page = cursor.lookUp(p, 0);
  constexpr int quads = sizeof(PieceRecord) / 16;
  uint4* table = reinterpret_cast<uint4*>(shared.records + warp * kNearbyRecords);
  if (lane < quads) table[lane] = __ldg(reinterpret_cast<const uint4*>(&worker.first) + lane);
  for (int i = quads + lane; i < records.count * quads; i += 32) {
    table[i] = __ldg(reinterpret_cast<const uint4*>(records.all) + i);
  }
  __syncwarp();
  const PieceRecord* piece = records.nearby;
  if (startsEmpty) {
    cursor.skipEmpty(records);
    cursor.ahead[0] = cursor.locate(p, warp, lane);
    page = cursor.lookUp(p, 0);
  }
  RowBlock<T, D> block;
  block.prefetchQuery(p, *piece, piece->head, kTall && piece->tall() ? warp * 16 : 0, lane);
  // KV tokens before a request's new ones were written by earlier steps; tiles of those alone may come ahead of the wait. Where a
  // worker has more tiles than the ring holds, it is filled; the next tile is brought to L2.
  bool waited = p.historyIsReady == 0 || !cursor.ahead[0].onlyHistory;
  if (waited) ptx::waitForPreviousLaunch();
  if (cursor.ahead[0].live) {
    copyRows<D>(p, shared.ring, 0, cursor.offsetOf(p, page), warp, lane, cursor.ahead[0].streaming ? policyOnce : policyShared);
  }
#pragma unroll 1
  for (int i = 0; i <= stages; i++) {
    cursor.advance(records);
    cursor.append(p, warp, lane);
  }
  cursor.fetchIds(p, stages - 1, lane);
  ptx::copyAsyncCommit();
  int stage = 0;
  bool isFull = false;
#pragma unroll 1
  for (int filled = 1; filled < stages; filled++) {
    // Looked up behind the copies of the tile before, which so come first on all SMs.
    cursor.keep(cursor.lookUp(p, 0), lane);
    if (filled == lookahead) {
      isFull = !kTall && cursor.ahead[1].live;
      if (!isFull) break;
    }
    if (!waited && !cursor.ahead[0].onlyHistory) {
      ptx::waitForPreviousLaunch();
      waited = true;
    }
    cursor.issue(p, records, shared.ring, filled, warp, lane, policyOnce, policyShared);
  }
  if (!waited) cursor.prefetch(p, lane);
  prefetchUnit(p, shared.units, units, shared.thread());
  if (!waited) ptx::waitForPreviousLaunch();
  const uint32_t begun = countBeginning(p, units, shared.thread());
  block.loadQuery(p, *piece, piece->head, kTall && piece->tall() ? warp * 16 : 0, lane);

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
  uint8_t* const combine = sharedBytes + Shape<D>::ringBytes;
  uint8_t* const states = combine + Shape<D>::combineBytes;
  uint8_t* const nearby = states + Shape<D>::stateBytes;
  const SharedMemory shared{ptx::sharedAddress(sharedBytes), reinterpret_cast<float*>(combine), reinterpret_cast<float2*>(states),
                            reinterpret_cast<PieceRecord*>(nearby), reinterpret_cast<UnitMemory*>(nearby + Shape<D>::recordBytes),
                            reinterpret_cast<int32_t*>(nearby + Shape<D>::recordBytes + sizeof(UnitMemory))};
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
