// Instantiations of the canonical kernel and their launch.
#include "invariant.cuh"

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

}  // namespace

bool canonicalNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs) {
  if (!attentionNeeds(headDim, dtype, tall, needs)) return false;
  needs->sharedBytes = headDim == 64    ? CanonicalShape<64>::sharedBytes
                       : headDim == 128 ? CanonicalShape<128>::sharedBytes
                                        : CanonicalShape<256>::sharedBytes;
  needs->largestTile = kCanonicalTileRows;
  needs->threads = kThreads;
  needs->workersPerCta = 1;
  return true;
}

cudaError_t prepareCanonical(int headDim, int dtype, bool tall) {
  KernelNeeds needs;
  if (!canonicalNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  for (const bool timed : {false, true}) {
    const void* kernel = reinterpret_cast<const void*>(pickKernel(headDim, dtype, tall, timed));
    cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, needs.sharedBytes);
    if (error != cudaSuccess) return error;
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t launchCanonical(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers, const CanonicalParams& params,
                            cudaStream_t stream) {
  KernelNeeds needs;
  if (!canonicalNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(workers);
  config.blockDim = dim3(needs.threads);
  config.dynamicSmemBytes = needs.sharedBytes;
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  CanonicalParams copy = params;
  void* arguments[] = {&copy};
  return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(pickKernel(headDim, dtype, tall, timed)), arguments);
}

}  // namespace isochron
