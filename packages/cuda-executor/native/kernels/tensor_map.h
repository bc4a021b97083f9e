// A paged K or V cache as Hopper's copy engine sees it: one instruction copies the 64 elements of a plane of 16 tokens of a
// page into a stage of the ring, swizzled. Encoded on the host; the driver's function is found at run time.
#pragma once
#include <cuda.h>
#include <cuda_runtime.h>

#include "params.h"

namespace isochron {

/** Tokens that one copy takes. Pages must hold a multiple of these, or be copied row by row. */
constexpr int kBoxTokens = 16;

/** Dimensions: element, token in the page, head, page. False where the cache cannot be described so. */
inline bool describeCache(const AttentionParams& p, const void* cache, int headDim, int dtype, CUtensorMap* map) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult status{};
#if CUDART_VERSION >= 12050
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &status);
#else
    const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &status);
#endif
    return error == cudaSuccess && status == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function) : nullptr;
  }();
  if (encode == nullptr || p.pageSize % kBoxTokens != 0 || p.pages == 0) return false;
  const cuuint64_t sizes[4] = {cuuint64_t(headDim), cuuint64_t(p.pageSize), cuuint64_t(p.queryHeads / p.groupSize), cuuint64_t(p.pages)};
  const cuuint64_t strides[3] = {cuuint64_t(p.tokenStride), cuuint64_t(p.headStride), cuuint64_t(p.pageStride)};
  const cuuint32_t box[4] = {64, kBoxTokens, 1, 1}, steps[4] = {1, 1, 1, 1};
  const CUtensorMapDataType type = dtype == 0 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  return encode(map, type, 4, const_cast<void*>(cache), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace isochron
