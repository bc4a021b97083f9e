// The kernels as plain C++ functions: which shapes exist, what they need, how they are launched.
#pragma once
#include <cuda_runtime.h>

#include "params.h"

namespace isochron {

struct KernelNeeds {
  int threads, sharedBytes;
  int ctasPerSm;      // workers resident on each SM
  int largestTile;    // query rows
  int workersPerCta;  // done by one CTA
};

/** False where no kernel exists for the head dimension or dtype (0 bf16, 1 fp16). `tall`: tiles of more than 16 rows. */
bool attentionNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs);

/** Lets the kernels use the shared memory that they need on the current device. Once per device. */
cudaError_t prepareAttention(int headDim, int dtype, bool tall);

/** Whether `workers` workers are resident together, so that one may wait for others: see AttentionParams::mergePatience. */
cudaError_t attentionIsResident(int headDim, int dtype, bool tall, int workers, bool* resident);

/**
 * Queues one launch of `workers` workers, and one of their merges where they do not merge themselves. `dependent`: may start
 * while the previous kernel of the stream drains.
 */
cudaError_t launchAttention(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers,
                            const AttentionParams& params, cudaStream_t stream);

/**
 * The floor: reads every K and V row once through the page table, and nothing else. pageTokens[e] tokens of page
 * pageIndices[e] are in use.
 */
cudaError_t launchGatherRead(const void* key, const void* value, const int32_t* pageIndices, const uint16_t* pageTokens,
                             int entries, int pageSize, int bytesPerToken, int ctas, uint32_t* sink, cudaStream_t stream);

/** Fills `count` 16-bit elements with normal_(0, 1) values of a counter-based generator. dtype: 0 bf16, 1 fp16. */
cudaError_t launchFillNormal(void* target, int64_t count, uint64_t seed, int dtype, cudaStream_t stream);

}  // namespace isochron
