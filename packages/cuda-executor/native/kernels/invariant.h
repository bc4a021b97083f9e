// The attention kernel of plans with a canonical merge tree, as plain C++ functions.
#pragma once
#include <cuda_runtime.h>

#include "../chunk_grid.h"
#include "attention.h"

namespace isochron {

/** Rows of the nodes that wait with one worker at a time, on the fine grid and on the coarse one. */
constexpr int kSpilledRows = 16 * kWaitingNodes, kTallSpilledRows = 64 * kCoarseWaitingNodes;
static_assert(kTallSpilledRows >= kSpilledRows);

struct CanonicalParams {
  AttentionParams attention;
  float* spilled;  // [worker or warpgroup][spilledRows][headDim + 2]: nodes that wait for their right sibling
  int32_t gridTokens, spilledRows;
};

/** As the functions of attention.h. */
bool canonicalNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs);
cudaError_t prepareCanonical(int headDim, int dtype, bool tall);
cudaError_t canonicalIsResident(int headDim, int dtype, bool tall, int workers, bool* resident);
cudaError_t launchCanonical(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers,
                            const CanonicalParams& params, cudaStream_t stream);

}  // namespace isochron
