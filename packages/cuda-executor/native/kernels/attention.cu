// Instantiations of the attention kernel and their launch.
#include "attention.cuh"
#include "attention.h"
#include "launch.h"
#include "tall_kernel.cuh"

namespace isochron {
namespace {

using Kernel = void (*)(const AttentionParams);

template <class T, int D>
Kernel pick(bool tall, bool timed) {
  if (tall) return timed ? attentionKernel<T, D, true, true> : attentionKernel<T, D, false, true>;
  return timed ? attentionKernel<T, D, true, false> : attentionKernel<T, D, false, false>;
}

template <class T>
Kernel pickDim(int headDim, bool tall, bool timed) {
  switch (headDim) {
    case 64: return pick<T, 64>(tall, timed);
    case 128: return pick<T, 128>(tall, timed);
    case 256: return pick<T, 256>(tall, timed);
    default: return nullptr;
  }
}

Kernel pickKernel(int headDim, int dtype, bool tall, bool timed) {
  if (dtype == 0) return pickDim<__nv_bfloat16>(headDim, tall, timed);
  if (dtype == 1) return pickDim<__half>(headDim, tall, timed);
  return nullptr;
}

using TallKernel = void (*)(const AttentionParams, int, bool, const CUtensorMap, const CUtensorMap);

template <class T>
TallKernel pickTallDim(int headDim, bool timed) {
  switch (headDim) {
    case 64: return timed ? tallKernel<T, 64, true> : tallKernel<T, 64, false>;
    case 128: return timed ? tallKernel<T, 128, true> : tallKernel<T, 128, false>;
    default: return nullptr;
  }
}

/** The kernel of tall_kernel.cuh, where the current device has it; else null. */
TallKernel pickTallKernel(int headDim, int dtype, bool timed) {
  const TallKernel kernel = dtype == 0 ? pickTallDim<__nv_bfloat16>(headDim, timed) : pickTallDim<__half>(headDim, timed);
  if (kernel == nullptr) return nullptr;
  // Binaries without warpgroup instructions have an empty kernel in its place, without barriers.
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return attributes.sharedSizeBytes > 0 ? kernel : nullptr;
}

template <class T>
Kernel pickMerge(int headDim, bool timed) {
  switch (headDim) {
    case 64: return timed ? mergeKernel<T, 64, true> : mergeKernel<T, 64, false>;
    case 128: return timed ? mergeKernel<T, 128, true> : mergeKernel<T, 128, false>;
    case 256: return timed ? mergeKernel<T, 256, true> : mergeKernel<T, 256, false>;
    default: return nullptr;
  }
}

int tallSharedBytes(int headDim) { return headDim == 64 ? TallShape<64>::sharedBytes : TallShape<128>::sharedBytes; }

const void* attentionFunction(int headDim, int dtype, bool tall, bool timed, const KernelNeeds& needs) {
  return needs.workersPerCta == 2 ? reinterpret_cast<const void*>(pickTallKernel(headDim, dtype, timed))
                                  : reinterpret_cast<const void*>(pickKernel(headDim, dtype, tall, timed));
}

}  // namespace

bool attentionNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs) {
  if (dtype != 0 && dtype != 1) return false;
  switch (headDim) {
    case 64: *needs = {kThreads, Shape<64>::sharedBytes, Shape<64>::ctasPerSm, 64, 1}; break;
    case 128: *needs = {kThreads, Shape<128>::sharedBytes, Shape<128>::ctasPerSm, 64, 1}; break;
    case 256: *needs = {kThreads, Shape<256>::sharedBytes, Shape<256>::ctasPerSm, 64, 1}; break;
    default: return false;
  }
  if (tall && pickTallKernel(headDim, dtype, false) != nullptr) {
    *needs = {kTallThreads, tallSharedBytes(headDim), needs->ctasPerSm, 2 * 64, 2};
  }
  return true;
}

cudaError_t prepareAttention(int headDim, int dtype, bool tall) {
  KernelNeeds needs;
  if (!attentionNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  for (const bool timed : {false, true}) {
    const void* kernel = attentionFunction(headDim, dtype, tall, timed, needs);
    cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, needs.sharedBytes);
    if (error != cudaSuccess) return error;
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t attentionIsResident(int headDim, int dtype, bool tall, int workers, bool* resident) {
  KernelNeeds needs;
  if (!attentionNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  return areResident(needs, workers,
                     {attentionFunction(headDim, dtype, tall, false, needs), attentionFunction(headDim, dtype, tall, true, needs)}, resident);
}

cudaError_t launchAttention(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers, const AttentionParams& params,
                            cudaStream_t stream) {
  KernelNeeds needs;
  if (!attentionNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  const Kernel merge = dtype == 0 ? pickMerge<__nv_bfloat16>(headDim, timed) : pickMerge<__half>(headDim, timed);
  AttentionParams copy = params;
  return launchWorkers(needs, {attentionFunction(headDim, dtype, tall, timed, needs), reinterpret_cast<const void*>(merge)}, headDim, dtype,
                       dependent, workers, params, &copy, stream);
}

}  // namespace isochron
