// Instantiations of the canonical kernel and their launch.
#include "invariant.cuh"
#include "invariant_tall.cuh"
#include "launch.h"

namespace isochron {
namespace {

using Kernel = void (*)(const CanonicalParams);

template <class T, int D>
Kernel pick(bool tall, bool timed) {
  if (tall) return timed ? canonicalKernel<T, D, true, true> : canonicalKernel<T, D, false, true>;
  return timed ? canonicalKernel<T, D, true, false> : canonicalKernel<T, D, false, false>;
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

template <class T>
const void* pickTallDim(int headDim, bool timed) {
  if (headDim == 64) return reinterpret_cast<const void*>(timed ? canonicalTallKernel<T, 64, true> : canonicalTallKernel<T, 64, false>);
  return reinterpret_cast<const void*>(timed ? canonicalTallKernel<T, 128, true> : canonicalTallKernel<T, 128, false>);
}

const void* pickFunction(int headDim, int dtype, bool tall, bool timed, const KernelNeeds& needs) {
  if (needs.workersPerCta == 1) return reinterpret_cast<const void*>(pickKernel(headDim, dtype, tall, timed));
  return dtype == 0 ? pickTallDim<__nv_bfloat16>(headDim, timed) : pickTallDim<__half>(headDim, timed);
}

template <class T>
Kernel pickMerge(int headDim, bool timed) {
  switch (headDim) {
    case 64: return timed ? canonicalMergeKernel<T, 64, true> : canonicalMergeKernel<T, 64, false>;
    case 128: return timed ? canonicalMergeKernel<T, 128, true> : canonicalMergeKernel<T, 128, false>;
    case 256: return timed ? canonicalMergeKernel<T, 256, true> : canonicalMergeKernel<T, 256, false>;
    default: return nullptr;
  }
}

}  // namespace

bool canonicalNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs) {
  if (!attentionNeeds(headDim, dtype, tall, needs)) return false;
  if (needs->workersPerCta == 2) {
    needs->sharedBytes += 2 * kTallStackBytes;
    return true;
  }
  needs->sharedBytes = headDim == 64    ? CanonicalShape<64>::sharedBytes
                       : headDim == 128 ? CanonicalShape<128>::sharedBytes
                                        : CanonicalShape<256>::sharedBytes;
  return true;
}

cudaError_t prepareCanonical(int headDim, int dtype, bool tall) {
  KernelNeeds needs;
  if (!canonicalNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  for (const bool timed : {false, true}) {
    const void* kernel = pickFunction(headDim, dtype, tall, timed, needs);
    cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, needs.sharedBytes);
    if (error != cudaSuccess) return error;
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t canonicalIsResident(int headDim, int dtype, bool tall, int workers, bool* resident) {
  KernelNeeds needs;
  if (!canonicalNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  return areResident(needs, workers, {pickFunction(headDim, dtype, tall, false, needs), pickFunction(headDim, dtype, tall, true, needs)},
                     resident);
}

cudaError_t launchCanonical(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers, const CanonicalParams& params,
                            cudaStream_t stream) {
  KernelNeeds needs;
  if (!canonicalNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  const Kernel merge = dtype == 0 ? pickMerge<__nv_bfloat16>(headDim, timed) : pickMerge<__half>(headDim, timed);
  CanonicalParams copy = params;
  return launchWorkers(needs, {pickFunction(headDim, dtype, tall, timed, needs), reinterpret_cast<const void*>(merge)}, headDim, dtype,
                       dependent, workers, params.attention, &copy, stream);
}

}  // namespace isochron
