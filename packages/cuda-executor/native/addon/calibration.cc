// What a calibration measures besides plans: reading memory through page tables, and products by cuBLAS.
// Each is a graph of several copies over different memory, so that nothing is found in L2; resolves to µs of each replay.
#include "../cublas.h"
#include "../replays.h"
#include "arguments.h"
#include "functions.h"
#include "promises.h"

namespace isochron {

namespace {

/**
 * timeGather(context, key, value, pageIndices, pageTokens, entries, copies, pageSize, bytesPerToken, ctas, warmUps, repetitions):
 * the floor of a decode, `copies` gathers over consecutive page tables.
 */
Napi::Value timeGather(const Napi::CallbackInfo& info) {
  auto context = unwrap<Context>(info[0], "context");
  Memory key = unwrap<Allocation>(info[1], "key"), value = unwrap<Allocation>(info[2], "value");
  Memory pages = unwrap<Allocation>(info[3], "pageIndices"), tokens = unwrap<Allocation>(info[4], "pageTokens");
  const int entries = int32Of(info[5]), copies = int32Of(info[6]), pageSize = int32Of(info[7]);
  const int bytesPerToken = int32Of(info[8]), ctas = int32Of(info[9]);
  const int warmUps = int32Of(info[10]), repetitions = int32Of(info[11]);
  return runAsync(info.Env(), context, [=]() -> Finish {
    Memory sink = context->allocate(16);
    return durations(timeRecorded(context, warmUps, repetitions, [&](cudaStream_t stream) {
      for (int c = 0; c < copies; c++) {
        launchGatherRead(key->pointer, value->pointer, static_cast<int32_t*>(pages->pointer) + int64_t(c) * entries,
                         static_cast<uint16_t*>(tokens->pointer), entries, pageSize, bytesPerToken, ctas,
                         static_cast<uint32_t*>(sink->pointer), stream);
      }
    }));
  });
}

void requireBytes(const char* name, const Memory& memory, int64_t bytes) {
  if (bytes > 0 && int64_t(memory->bytes) >= bytes) return;
  throw std::invalid_argument(std::string(name) + " has less than " + std::to_string(bytes) + " bytes");
}

/**
 * timeGemm(context, x, w, y, rows, n, k, isHalf, copies, warmUps, repetitions): `copies` products y = x·Wᵀ, each with the next
 * n × k weights of `w`.
 */
Napi::Value timeGemm(const Napi::CallbackInfo& info) {
  auto context = unwrap<Context>(info[0], "context");
  Memory x = unwrap<Allocation>(info[1], "x"), w = unwrap<Allocation>(info[2], "w"), y = unwrap<Allocation>(info[3], "y");
  const int64_t rows = int32Of(info[4]), n = int32Of(info[5]), k = int32Of(info[6]), copies = int32Of(info[8]);
  const bool isHalf = info[7].ToBoolean();
  const int warmUps = int32Of(info[9]), repetitions = int32Of(info[10]);
  requireBytes("x", x, rows * k * 2);
  requireBytes("w", w, copies * n * k * 2);
  requireBytes("y", y, rows * n * 2);
  return runAsync(info.Env(), context, [=]() -> Finish {
    Cublas cublas(context);
    auto product = [&](int64_t copy) {
      return Gemm{x->pointer, static_cast<uint16_t*>(w->pointer) + copy * n * k, y->pointer, int(rows), int(n), int(k), isHalf};
    };
    cublas.queue(product(0), context->stream);  // cuBLAS loads its kernels at first use, which a capture may not
    return durations(timeRecorded(context, warmUps, repetitions, [&](cudaStream_t stream) {
      for (int64_t c = 0; c < copies; c++) cublas.queue(product(c), stream);
    }));
  });
}

}  // namespace

Functions calibrationFunctions() { return {{"timeGather", timeGather}, {"timeGemm", timeGemm}}; }

}  // namespace isochron
