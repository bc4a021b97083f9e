// What devices and kernels there are, and the context of a device.
#include <algorithm>

#include "arguments.h"
#include "functions.h"
#include "promises.h"

namespace isochron {

namespace {

/** status(): touches nothing but the driver. */
Napi::Value status(const Napi::CallbackInfo& info) {
  const CudaStatus s = cudaStatus();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("driverVersion", s.driverVersion);
  object.Set("runtimeVersion", s.runtimeVersion);
  object.Set("deviceCount", s.deviceCount);
  object.Set("error", s.error);
  return object;
}

/** kernelNeeds(headDim, dtype): null where there is no kernel for them. */
Napi::Value kernelNeeds(const Napi::CallbackInfo& info) {
  KernelNeeds needs;
  if (!attentionNeeds(int32Of(info[0]), int32Of(info[1]), true, &needs)) return info.Env().Null();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("threads", needs.threads);
  object.Set("sharedBytes", needs.sharedBytes);
  object.Set("ctasPerSm", needs.ctasPerSm);
  object.Set("largestTile", needs.largestTile);
  return object;
}

Napi::Value open(const Napi::CallbackInfo& info) { return wrap<Context>(info.Env(), Context::open(int32Of(info[0]))); }

Napi::Value deviceInfo(const Napi::CallbackInfo& info) {
  const auto& context = unwrap<Context>(info[0], "context");
  const DeviceProperties& p = context->properties;
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("name", p.name);
  object.Set("smCount", p.smCount);
  object.Set("memoryBytes", double(p.memoryBytes));
  object.Set("l2Bytes", p.l2Bytes);
  object.Set("computeCapability", p.major * 10 + p.minor);
  object.Set("clockKHz", p.clockKHz);
  object.Set("memoryClockKHz", p.memoryClockKHz);
  object.Set("bytesInUse", double(context->bytesInUse.load()));
  size_t free = 0, total = 0;
  context->makeCurrent();
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) cudaGetLastError();
  object.Set("freeBytes", double(free));
  return object;
}

/** setMergePatience(context, looks), of later launches and captures. For tests: few looks make workers leave their merges to others. */
Napi::Value setMergePatience(const Napi::CallbackInfo& info) {
  unwrap<Context>(info[0], "context")->mergePatience = std::max(1, int32Of(info[1]));
  return info.Env().Undefined();
}

/** drain(context): resolves when everything queued so far is done. */
Napi::Value drain(const Napi::CallbackInfo& info) {
  auto context = unwrap<Context>(info[0], "context");
  return runAsync(info.Env(), context, [context]() -> Finish {
    context->check(cudaStreamSynchronize(context->stream), "waiting for the stream");
    return nullptr;
  });
}

}  // namespace

Functions deviceFunctions() {
  return {
      {"status", status},
      {"kernelNeeds", kernelNeeds},
      {"open", open},
      {"closeContext", release<Context>},
      {"deviceInfo", deviceInfo},
      {"setMergePatience", setMergePatience},
      {"drain", drain},
  };
}

}  // namespace isochron
