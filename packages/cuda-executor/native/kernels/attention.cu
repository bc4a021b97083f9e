// Instantiations of the attention kernel and their launch.
#include "attention.cuh"
#include "attention.h"

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

}  // namespace

bool attentionNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs) {
  if (dtype != 0 && dtype != 1) return false;
  switch (headDim) {
    case 64: *needs = {kThreads, Shape<64>::sharedBytes(tall), Shape<64>::ctasPerSm, 64 * kTallHalves}; return true;
    case 128: *needs = {kThreads, Shape<128>::sharedBytes(tall), Shape<128>::ctasPerSm, 64 * kTallHalves}; return true;
    case 256: *needs = {kThreads, Shape<256>::sharedBytes(tall), Shape<256>::ctasPerSm, 64}; return true;
    default: return false;
  }
}

cudaError_t prepareAttention(int headDim, int dtype, bool tall) {
  KernelNeeds needs;
  if (!attentionNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
  for (const bool timed : {false, true}) {
    const void* kernel = reinterpret_cast<const void*>(pickKernel(headDim, dtype, tall, timed));
    cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, needs.sharedBytes);
    if (error != cudaSuccess) return error;
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t launchAttention(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers, const AttentionParams& params,
                            cudaStream_t stream) {
  KernelNeeds needs;
  if (!attentionNeeds(headDim, dtype, tall, &needs)) return cudaErrorInvalidValue;
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
  AttentionParams copy = params;
  void* arguments[] = {&copy};
  return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(pickKernel(headDim, dtype, tall, timed)), arguments);
}

}  // namespace isochron
