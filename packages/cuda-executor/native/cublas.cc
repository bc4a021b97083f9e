#include "cublas.h"

#include <dlfcn.h>

#include <cstdlib>

namespace isochron {

namespace {
// Of cuBLAS's documented C interface, which versions 12 and 13 share: what is called here, and the values that it takes.
constexpr int kSuccess = 0, kAsIs = 0, kTransposed = 1;
constexpr int kFloat16 = 2, kBfloat16 = 14, kSumsInFloat32 = 68, kDefaultAlgorithm = -1;
/** What NVIDIA recommends on Hopper; a captured product must not allocate. */
constexpr size_t kWorkspaceBytes = 32 << 20;

struct Library {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*setStream)(void*, cudaStream_t);
  int (*setWorkspace)(void*, void*, size_t);
  int (*gemm)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*, void*, int,
              int, int, int);
};

template <class F>
void find(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  if (function == nullptr) throw MissingLibrary(std::string("a cuBLAS with ") + name + " is missing");
}

Library open() {
  const char* chosen = std::getenv("ISOCHRON_CUBLAS");
  void* library = nullptr;
  if (chosen != nullptr) {
    library = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw MissingLibrary(dlerror());
  }
  for (const char* name : {"libcublas.so.13", "libcublas.so.12"}) {
    if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr) throw MissingLibrary("no libcublas.so of CUDA 12 or 13 is found (ISOCHRON_CUBLAS names one by its path)");
  Library found{};
  find(library, "cublasCreate_v2", found.create);
  find(library, "cublasDestroy_v2", found.destroy);
  find(library, "cublasSetStream_v2", found.setStream);
  find(library, "cublasSetWorkspace_v2", found.setWorkspace);
  find(library, "cublasGemmEx", found.gemm);
  return found;
}

/** Opened once and kept: unloading a library of CUDA is not safe. */
const Library& cublas() {
  static const Library library = open();
  return library;
}

void require(int status, const char* doing) {
  if (status != kSuccess) throw CudaFailure(cudaErrorUnknown, std::string(doing) + " (cuBLAS status " + std::to_string(status) + ")");
}
}  // namespace

Cublas::Cublas(std::shared_ptr<Context> context) : context_(std::move(context)) {
  context_->makeCurrent();
  require(cublas().create(&handle_), "opening cuBLAS");
  workspace_ = context_->allocate(kWorkspaceBytes);
}

Cublas::~Cublas() {
  if (handle_ != nullptr) cublas().destroy(handle_);
}

void Cublas::queue(const Gemm& g, cudaStream_t stream) {
  require(cublas().setStream(handle_, stream), "giving cuBLAS a stream");  // which takes its workspace away
  require(cublas().setWorkspace(handle_, workspace_->pointer, kWorkspaceBytes), "giving cuBLAS a workspace");
  const float one = 1.f, zero = 0.f;
  const int type = g.isHalf ? kFloat16 : kBfloat16;
  // Column-major: yᵀ of n × rows is W, transposed as it lies, times xᵀ.
  require(cublas().gemm(handle_, kTransposed, kAsIs, g.n, g.rows, g.k, &one, g.w, type, g.k, g.x, type, g.k, &zero, g.y, type, g.n,
                        kSumsInFloat32, kDefaultAlgorithm),
          "queueing a product");
}

}  // namespace isochron
