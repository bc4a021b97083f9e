// Device memory: to allocate, to copy to and from, to fill. Copies and fills keep the order of the context's stream.
#include "arguments.h"
#include "functions.h"
#include "promises.h"

namespace isochron {

namespace {

/** allocate(context, bytes) */
Napi::Value allocate(const Napi::CallbackInfo& info) {
  return wrap<Allocation>(info.Env(), unwrap<Context>(info[0], "context")->allocate(size_t(int64Of(info[1]))));
}

enum class Direction { write, read };

/** write(memory, byteOffset, data), read(memory, byteOffset, data): resolve once copied, data stays where it is until then. */
template <Direction kDirection>
Napi::Value transfer(const Napi::CallbackInfo& info) {
  Memory memory = unwrap<Allocation>(info[0], "memory");
  const int64_t offset = int64Of(info[1]);
  const Bytes host = bytesOf(info[2], "data");
  if (offset < 0 || size_t(offset) + host.length > memory->bytes) {
    throw std::invalid_argument("bytes " + std::to_string(offset) + " to " + std::to_string(offset + int64_t(host.length)) +
                                " are not inside a tensor of " + std::to_string(memory->bytes) + " bytes");
  }
  auto copy = [memory, offset, host]() -> Finish {
    Context& context = *memory->context;
    context.requireUsable();
    uint8_t* device = static_cast<uint8_t*>(memory->pointer) + offset;
    const cudaError_t error =
        kDirection == Direction::write
            ? cudaMemcpyAsync(device, host.data, host.length, cudaMemcpyHostToDevice, context.stream)
            : cudaMemcpyAsync(host.data, device, host.length, cudaMemcpyDeviceToHost, context.stream);
    context.check(error, "copying a tensor");
    context.check(cudaStreamSynchronize(context.stream), "copying a tensor");
    return nullptr;
  };
  return runAsync(info.Env(), memory->context, copy, info[2]);
}

/** fill(memory, byte): every byte of the memory. */
Napi::Value fill(const Napi::CallbackInfo& info) {
  const Memory& memory = unwrap<Allocation>(info[0], "memory");
  Context& context = *memory->context;
  context.requireUsable();
  context.makeCurrent();
  context.check(cudaMemsetAsync(memory->pointer, int32Of(info[1]), memory->bytes, context.stream), "filling");
  return info.Env().Undefined();
}

/** fillNormal(memory, elementOffset, elements, seed, dtype): random normal 16-bit elements. */
Napi::Value fillNormal(const Napi::CallbackInfo& info) {
  const Memory& memory = unwrap<Allocation>(info[0], "memory");
  const int64_t offset = int64Of(info[1]), count = int64Of(info[2]);
  if (offset < 0 || count < 0 || size_t(offset + count) * 2 > memory->bytes) throw std::invalid_argument("elements outside the tensor");
  Context& context = *memory->context;
  context.requireUsable();
  context.makeCurrent();
  uint16_t* first = static_cast<uint16_t*>(memory->pointer) + offset;
  context.check(launchFillNormal(first, count, uint64_t(int64Of(info[3])), int32Of(info[4]), context.stream), "filling");
  return info.Env().Undefined();
}

}  // namespace

Functions tensorFunctions() {
  return {
      {"allocate", allocate},
      {"releaseMemory", release<Allocation>},
      {"write", transfer<Direction::write>},
      {"read", transfer<Direction::read>},
      {"fill", fill},
      {"fillNormal", fillNormal},
  };
}

}  // namespace isochron
