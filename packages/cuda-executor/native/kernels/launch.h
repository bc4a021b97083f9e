// How both families of attention kernels are launched: as many CTAs as workers need, and where they may not wait for each other a
// second launch for the merges.
#pragma once
#include <initializer_list>

#include "attention.h"
#include "tensor_map.h"

namespace isochron {

/** The kernel of the pieces, and that of the merge units alone. */
struct WorkerKernels {
  const void *pieces, *merges;
};

/** Whether so many workers are resident together in each of these kernels: see AttentionParams::mergePatience. */
inline cudaError_t areResident(const KernelNeeds& needs, int workers, std::initializer_list<const void*> kernels, bool* resident) {
  int device = 0, smCount = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&smCount, cudaDevAttrMultiProcessorCount, device);
  *resident = true;
  for (const void* kernel : kernels) {
    int perSm = 0;
    if (error == cudaSuccess) error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&perSm, kernel, needs.threads, needs.sharedBytes);
    *resident &= int64_t(perSm) * smCount * needs.workersPerCta >= workers;
  }
  return error;
}

/** `params`: the kernels' own first parameter, of which `p` is a part. */
inline cudaError_t launchWorkers(const KernelNeeds& needs, const WorkerKernels& kernels, int headDim, int dtype, bool dependent, int workers,
                                 const AttentionParams& p, void* params, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3((workers + needs.workersPerCta - 1) / needs.workersPerCta);
  config.blockDim = dim3(needs.threads);
  config.dynamicSmemBytes = needs.sharedBytes;
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  // All but the first only for the kernels whose CTAs do two workers' pieces.
  CUtensorMap keyMap{}, valueMap{};
  bool boxes = needs.workersPerCta == 2 && describeCache(p, p.key, headDim, dtype, &keyMap) &&
               describeCache(p, p.value, headDim, dtype, &valueMap);
  void* arguments[] = {params, &workers, &boxes, &keyMap, &valueMap};
  const cudaError_t error = cudaLaunchKernelExC(&config, kernels.pieces, arguments);
  if (error != cudaSuccess || p.mergePatience > 0) return error;
  config.gridDim = dim3(workers);
  config.blockDim = dim3(128);
  config.dynamicSmemBytes = 0;
  config.numAttrs = 1;
  return cudaLaunchKernelExC(&config, kernels.merges, arguments);
}

}  // namespace isochron
