// Merging inside the attention launch: the CTA that writes the last partial state of a job combines them all.
//
// A counter for each job counts slots; whoever brings it to the job's number of slots resets it to 0 (so the next launch
// finds it ready) and merges. The sources combine in the plan's order whoever comes last: the result is bitwise the same
// from run to run. One warp takes a row, reading up to 32 states at once and 8 partial rows deep; a job of one or two rows
// spreads its sources over the warps. Nobody waits, so no CTA depends on another being resident.
#pragma once
#include "params.h"
#include "ptx.cuh"

namespace isochron {

template <int D>
struct LaneRow {
  /** Elements [lane × D / 32, …) of one row. */
  float v[D / 32];
  __device__ __forceinline__ void load(const float* row, int lane) {
    const float* source = row + lane * (D / 32);
    if constexpr (D == 64) {
      const float2 x = __ldcg(reinterpret_cast<const float2*>(source));
      v[0] = x.x, v[1] = x.y;
    } else {
#pragma unroll
      for (int i = 0; i < D / 128; i++) {
        const float4 x = __ldcg(reinterpret_cast<const float4*>(source) + i);
        v[4 * i] = x.x, v[4 * i + 1] = x.y, v[4 * i + 2] = x.z, v[4 * i + 3] = x.w;
      }
    }
  }
};

/** Row `row` of a merge, sources part, part + parts, …: leaves Σ weight × O in `total` and Σ weight × sum in `sum`. */
template <int D>
__device__ __forceinline__ void gatherRow(const AttentionParams& p, const MergeRecord& merge, int row, int part, int parts,
                                          int lane, LaneRow<D>& total, float& maximum, float& sum) {
  const int sources = merge.sourceEnd - merge.sourceStart;
  auto stateRow = [&](int s) {
    const SourceRecord source = p.sources[merge.sourceStart + s];
    return source.slot * p.slotRows + source.slotRow + row;
  };
  maximum = -INFINITY;
  for (int s = lane; s < sources; s += 32) maximum = fmaxf(maximum, __ldcg(p.partialState + stateRow(s)).x);
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, d));
  const float reference = maximum == -INFINITY ? 0.f : maximum;
  sum = 0.f;
#pragma unroll
  for (int i = 0; i < D / 32; i++) total.v[i] = 0.f;
  for (int base = part; base < sources; base += 32 * parts) {
    const int mine = base + lane * parts;
    int index = 0;
    float weight = 0.f;
    if (mine < sources) {
      index = stateRow(mine);
      const float2 state = __ldcg(p.partialState + index);
      weight = ptx::exp2Fast(state.x - reference);
      sum += weight * state.y;
    }
    const int count = min(32, (sources - base + parts - 1) / parts);
    constexpr int depth = 8;
    for (int j = 0; j < count; j += depth) {
      LaneRow<D> rows[depth];
#pragma unroll
      for (int i = 0; i < depth; i++) {
        const int from = __shfl_sync(0xffffffffu, index, (j + i) & 31);
        if (j + i < count) rows[i].load(p.partialOutput + int64_t(from) * D, lane);
      }
#pragma unroll
      for (int i = 0; i < depth; i++) {
        const float w = __shfl_sync(0xffffffffu, weight, (j + i) & 31);
        if (j + i < count) {
#pragma unroll
          for (int e = 0; e < D / 32; e++) total.v[e] += w * rows[i].v[e];
        }
      }
    }
  }
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
}

template <class T, int D>
__device__ __forceinline__ void writeMerged(const AttentionParams& p, const MergeRecord& merge, int row, int lane,
                                            const LaneRow<D>& total, float maximum, float sum) {
  const int packedRow = merge.rowStart + row, token = packedRow / p.packedHeads;
  const int64_t tokenHead = int64_t(merge.queryStart + token) * p.queryHeads + merge.head * p.packedHeads +
                            (packedRow - token * p.packedHeads);
  const float sinkFactor = joinSink(p, tokenHead, maximum, sum);
  const float inverse = sum > 0.f ? sinkFactor / sum : 0.f;
  uint32_t* target = reinterpret_cast<uint32_t*>(static_cast<T*>(p.output) + tokenHead * D) + lane * (D / 64);
  if constexpr (D == 64) {
    target[0] = ptx::pack<T>(total.v[0] * inverse, total.v[1] * inverse);
  } else {
#pragma unroll
    for (int i = 0; i < D / 128; i++) {
      reinterpret_cast<uint2*>(target)[i] =
          make_uint2(ptx::pack<T>(total.v[4 * i] * inverse, total.v[4 * i + 1] * inverse),
                     ptx::pack<T>(total.v[4 * i + 2] * inverse, total.v[4 * i + 3] * inverse));
    }
  }
  if (lane == 0) p.lse[tokenHead] = naturalLse(maximum, sum);
}

template <class T, int D>
__device__ __noinline__ void mergeRows(const AttentionParams& p, const SharedMemory& shared, const MergeRecord& merge, int warp,
                                       int lane) {
  LaneRow<D> total;
  float maximum, sum;
  if (merge.rowCount >= 3 || merge.sourceEnd - merge.sourceStart < 8) {
    for (int row = warp; row < merge.rowCount; row += kWarps) {
      gatherRow<D>(p, merge, row, 0, 1, lane, total, maximum, sum);
      writeMerged<T, D>(p, merge, row, lane, total, maximum, sum);
    }
    return;
  }
  for (int row = 0; row < merge.rowCount; row++) {
    gatherRow<D>(p, merge, row, warp, kWarps, lane, total, maximum, sum);
    float* mine = shared.combine + warp * D + lane * (D / 32);
#pragma unroll
    for (int i = 0; i < D / 32; i++) mine[i] = total.v[i];
    if (lane == 0) shared.states[warp] = make_float2(maximum, sum);
    __syncthreads();
    if (warp == 0) {
      for (int w = 1; w < kWarps; w++) {
        const float* other = shared.combine + w * D + lane * (D / 32);
#pragma unroll
        for (int i = 0; i < D / 32; i++) total.v[i] += other[i];
        sum += shared.states[w].y;
      }
      writeMerged<T, D>(p, merge, row, lane, total, maximum, sum);
    }
    __syncthreads();
  }
}

/** Announces that a slot is written, and merges every job that it completes. All threads of the CTA call it. */
template <class T, int D, bool kTimed>
__device__ __forceinline__ void arrive(const AttentionParams& p, const SharedMemory& shared, const PieceRecord& piece, int slot,
                                       int h, int warp, int lane) {
  uint32_t* completed = reinterpret_cast<uint32_t*>(shared.states);
  const int start = h == 0 ? piece.slotJobStart : p.slotJobIndptr[slot];
  const int end = p.slotJobIndptr[slot + 1];
  for (int base = start; base < end; base += kThreads) {
    __syncthreads();
    bool isLast = false;
    if (base + int(threadIdx.x) < end) {
      const int job = p.slotJobs[base + threadIdx.x];
      const int arrivals = p.jobs[job].arrivals;
      __threadfence();
      isLast = atomicAdd(p.counters + job, 1) == arrivals - 1;
      if (isLast) {
        p.counters[job] = 0;
        __threadfence();
      }
    }
    const uint32_t mask = __ballot_sync(0xffffffffu, isLast);
    if (lane == 0) completed[warp] = mask;
    __syncthreads();
    uint32_t masks[kWarps];
#pragma unroll
    for (int w = 0; w < kWarps; w++) masks[w] = completed[w];
    if ((masks[0] | masks[1] | masks[2] | masks[3]) == 0) continue;
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < kThreads; i++) {
      const uint32_t bits = i < 32 ? masks[0] : i < 64 ? masks[1] : i < 96 ? masks[2] : masks[3];
      if (((bits >> (i & 31)) & 1) == 0) continue;
      const JobRecord job = p.jobs[p.slotJobs[base + i]];
      for (int m = job.mergeStart; m < job.mergeEnd; m++) {
        uint64_t startNs = 0;
        if constexpr (kTimed) startNs = ptx::globalTimerNs();
        mergeRows<T, D>(p, shared, p.merges[m], warp, lane);
        if constexpr (kTimed) {
          __syncthreads();
          if (threadIdx.x == 0) p.mergeTrace[m] = {startNs, ptx::globalTimerNs(), ptx::smId(), blockIdx.x};
        }
      }
    }
  }
}

}  // namespace isochron
