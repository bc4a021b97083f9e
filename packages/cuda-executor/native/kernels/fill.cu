// Random normal tensors made on the device: tests and benchmarks need gigabytes of them.
// Element i depends on (seed, i) alone: two hashed 32-bit words (the finaliser of MurmurHash3) through Box-Muller.
#include "attention.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace isochron {
namespace {

__device__ __forceinline__ uint32_t mix(uint64_t x) {
  x ^= x >> 33, x *= 0xff51afd7ed558ccdULL, x ^= x >> 33, x *= 0xc4ceb9fe1a85ec53ULL, x ^= x >> 33;
  return uint32_t(x);
}

__global__ void fillKernel(uint16_t* target, int64_t count, uint64_t seed, int dtype) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < (count + 1) / 2; i += step) {
    const uint64_t state = seed * 0x9e3779b97f4a7c15ULL + uint64_t(i) * 2;
    const float u = (float(mix(state) >> 8) + 1.f) * (1.f / 16777217.f), v = float(mix(state + 1) >> 8) * (1.f / 16777216.f);
    const float radius = sqrtf(-2.f * logf(u));
    float sine, cosine;
    sincospif(2.f * v, &sine, &cosine);
    const float pair[2] = {radius * cosine, radius * sine};
    for (int k = 0; k < 2; k++) {
      if (2 * i + k >= count) break;
      target[2 * i + k] = dtype == 0 ? __bfloat16_as_ushort(__float2bfloat16(pair[k])) : __half_as_ushort(__float2half(pair[k]));
    }
  }
}

}  // namespace

cudaError_t launchFillNormal(void* target, int64_t count, uint64_t seed, int dtype, cudaStream_t stream) {
  fillKernel<<<1056, 256, 0, stream>>>(static_cast<uint16_t*>(target), count, seed, dtype);
  return cudaGetLastError();
}

}  // namespace isochron
