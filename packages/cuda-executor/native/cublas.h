// cuBLAS, where this machine has it: opened at run time, so that the addon neither needs nor ships it.
#pragma once
#include <string>

#include "context.h"

namespace isochron {

/** y = x·Wᵀ in 16 bits with 32-bit sums; row-major: x of rows × k, W of n × k, y of rows × n. */
struct Gemm {
  void *x, *w, *y;
  int rows, n, k;
  bool isHalf;  // fp16 rather than bf16
};

class Cublas {
 public:
  /** Throws MissingLibrary where no library is found: ISOCHRON_CUBLAS (a path) or libcublas.so of CUDA 13 or 12. */
  explicit Cublas(std::shared_ptr<Context> context);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  /** Queues one product; can be recorded. */
  void queue(const Gemm& gemm, cudaStream_t stream);

 private:
  std::shared_ptr<Context> context_;
  Memory workspace_;
  void* handle_ = nullptr;
};

}  // namespace isochron
