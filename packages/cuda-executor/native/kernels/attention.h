// The kernels as plain C++ functions: which shapes exist, what they need, how they are launched.
#pragma once
#include <cuda_runtime.h>

#include "params.h"

namespace isochron {

struct KernelNeeds {
  int threads, sharedBytes, ctasPerSm;
};

/** False where no kernel exists for the head dimension or dtype (0 bf16, 1 fp16). */
bool attentionNeeds(int headDim, int dtype, KernelNeeds* needs);

/** Lets the kernels use the shared memory that they need on the current device. Once per device. */
cudaError_t prepareAttention(int headDim, int dtype);

/** Queues one launch of `workers` CTAs. `dependent`: may start while the previous kernel of the stream drains. */
cudaError_t launchAttention(int headDim, int dtype, bool timed, bool dependent, int workers, const AttentionParams& params,
                            cudaStream_t stream);

/** The floor: reads every K and V row of the plan's requests once through the page table, and nothing else. */
cudaError_t launchGatherRead(int headDim, int requestCount, const int32_t* kvLens, const int32_t* pageStarts, int kvHeads,
                             int totalTokens, const AttentionParams& params, int ctas, cudaStream_t stream);

}  // namespace isochron
