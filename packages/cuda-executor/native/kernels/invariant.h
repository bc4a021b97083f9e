// The attention kernel of plans with a canonical merge tree, as plain C++ functions.
#pragma once
#include <cuda_runtime.h>

#include "attention.h"

namespace isochron {

/** Chosen: trees of 2^12 chunks, a million KV tokens on the planner's grid of 256. */
constexpr int kCanonicalLevels = 12;
/** Query rows of the tallest tile. */
constexpr int kCanonicalTileRows = 64;

struct CanonicalParams {
  AttentionParams attention;
  float* spilled;   // [worker][level][rows][headDim + 2]: nodes that wait for their right sibling
  int32_t gridTokens, levels, spilledRows;
};

/** False where no kernel exists for the head dimension or dtype (0 bf16, 1 fp16). `tall`: tiles of more than 16 rows. */
bool canonicalNeeds(int headDim, int dtype, bool tall, KernelNeeds* needs);
cudaError_t prepareCanonical(int headDim, int dtype, bool tall);
cudaError_t launchCanonical(int headDim, int dtype, bool tall, bool timed, bool dependent, int workers,
                            const CanonicalParams& params, cudaStream_t stream);

}  // namespace isochron
