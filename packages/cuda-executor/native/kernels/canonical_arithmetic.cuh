// How two states of a canonical tree merge: with the same three instructions an element, wherever they meet.
#pragma once
#include "ptx.cuh"

namespace isochron {

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

}  // namespace isochron
