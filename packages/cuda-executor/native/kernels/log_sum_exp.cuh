// The end of a softmax: the sink that joins it, and its logarithm.
#pragma once
#include "shape.cuh"

namespace isochron {

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
