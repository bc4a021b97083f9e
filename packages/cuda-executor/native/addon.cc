// The addon: the only file that knows JavaScript. Turns handles, typed arrays and promises into runtime.h and back.
//
// Errors become JavaScript errors with a `code` and the fields of the C++ exception; binding.ts makes classes of them.
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "cublas.h"
#include "replays.h"
#include "runtime.h"

namespace {

using namespace isochron;

// ——— Errors and promises ———

Napi::Value toError(Napi::Env env, const std::exception_ptr& failure) {
  auto make = [env](const char* code, const std::string& message) {
    Napi::Object error = Napi::Error::New(env, message).Value();
    error.Set("code", code);
    return error;
  };
  try {
    std::rethrow_exception(failure);
  } catch (const PlanRejected& e) {
    Napi::Object error = make("PLAN_REJECTED", e.what());
    error.Set("field", e.fault.field);
    error.Set("index", double(e.fault.index));
    error.Set("value", double(e.fault.value));
    error.Set("expected", e.fault.expected);
    return error;
  } catch (const CudaFailure& e) {
    Napi::Object error = make(e.error == cudaErrorMemoryAllocation ? "OUT_OF_MEMORY" : "CUDA", e.what());
    error.Set("name", cudaGetErrorName(e.error));
    error.Set("requested", double(e.requested));
    error.Set("free", double(e.free));
    error.Set("sticky", e.sticky);
    return error;
  } catch (const Unsupported& e) {
    return make("UNSUPPORTED", e.what());
  } catch (const MissingLibrary& e) {
    return make("MISSING_LIBRARY", e.what());
  } catch (const std::exception& e) {
    return make("INVALID_ARGUMENT", e.what());
  }
}

/** Brings results of other threads back to JavaScript; keeps the event loop alive only while something is pending. */
struct Mailbox {
  Napi::ThreadSafeFunction function;
  int pending = 0;
};

using Finish = std::function<Napi::Value(Napi::Env)>;

/** Runs `work` on the context's thread; its return value makes the promise's value on the JavaScript thread. */
Napi::Value runAsync(Napi::Env env, const std::shared_ptr<Context>& context, std::function<Finish()> work,
                     Napi::Value keepAlive = Napi::Value()) {
  auto* mailbox = env.GetInstanceData<Mailbox>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  auto kept = std::make_shared<Napi::Reference<Napi::Value>>();
  if (!keepAlive.IsEmpty()) *kept = Napi::Reference<Napi::Value>::New(keepAlive, 1);
  if (mailbox->pending++ == 0) mailbox->function.Ref(env);
  Napi::ThreadSafeFunction function = mailbox->function;
  context->enqueue([work = std::move(work), deferred, kept, function]() mutable {
    Finish finish;
    std::exception_ptr failure;
    try {
      finish = work();
    } catch (...) {
      failure = std::current_exception();
    }
    work = nullptr;
    auto settle = [deferred = std::move(deferred), kept = std::move(kept), finish = std::move(finish), failure](
                      Napi::Env env, Napi::Function) mutable {
      auto* mailbox = env.GetInstanceData<Mailbox>();
      if (--mailbox->pending == 0) mailbox->function.Unref(env);
      kept->Reset();
      if (failure) deferred->Reject(toError(env, failure));
      else deferred->Resolve(finish ? finish(env) : env.Undefined());
    };
    function.NonBlockingCall(settle);
  });
  return deferred->Promise();
}

/** Calls `body`; C++ exceptions become JavaScript ones. */
template <class Body>
Napi::Value guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    napi_throw(env, toError(env, std::current_exception()));
    return env.Undefined();
  }
}

// ——— Handles and arguments ———

template <class T>
struct Handle {
  std::shared_ptr<T> object;
};

template <class T>
Napi::Value wrap(Napi::Env env, std::shared_ptr<T> object) {
  return Napi::External<Handle<T>>::New(env, new Handle<T>{std::move(object)}, [](Napi::Env, Handle<T>* handle) { delete handle; });
}

template <class T>
std::shared_ptr<T>& unwrap(const Napi::Value& value, const char* what) {
  if (!value.IsExternal()) throw std::invalid_argument(std::string(what) + " is not a handle");
  auto& object = value.As<Napi::External<Handle<T>>>().Data()->object;
  if (object == nullptr) throw std::invalid_argument(std::string(what) + " has been released");
  return object;
}

struct Bytes {
  uint8_t* data;
  size_t length;
};

Bytes bytesOf(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray()) throw std::invalid_argument(std::string(what) + " is not a typed array");
  const auto array = value.As<Napi::TypedArray>();
  return {static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
}

const int32_t* planWords(const Bytes& bytes) {
  if (reinterpret_cast<uintptr_t>(bytes.data) % 4 != 0) throw std::invalid_argument("the plan is not aligned to 4 bytes");
  return reinterpret_cast<const int32_t*>(bytes.data);
}

int64_t integer(const Napi::Object& object, const char* key, int64_t otherwise = 0) {
  const Napi::Value value = object.Get(key);
  return value.IsNumber() ? value.As<Napi::Number>().Int64Value() : otherwise;
}

Binding bindingOf(const Napi::Object& object) {
  Binding binding;
  auto memory = [&object](const char* key) -> Memory {
    const Napi::Value value = object.Get(key);
    return value.IsExternal() ? unwrap<Allocation>(value, key) : nullptr;
  };
  binding.query = memory("query");
  binding.key = memory("key");
  binding.value = memory("value");
  binding.output = memory("output");
  binding.lse = memory("lse");
  binding.pageIndices = memory("pageIndices");
  binding.sinks = memory("sinks");
  binding.queryOffset = integer(object, "queryOffset");
  binding.outputOffset = integer(object, "outputOffset");
  binding.lseOffset = integer(object, "lseOffset");
  binding.keyOffset = integer(object, "keyOffset");
  binding.valueOffset = integer(object, "valueOffset");
  binding.pageIndexOffset = integer(object, "pageIndexOffset");
  binding.pageTableLength = integer(object, "pageTableLength");
  binding.queryTokens = integer(object, "queryTokens");
  binding.pages = integer(object, "pages");
  const Napi::Value ready = object.Get("historyIsReady");
  binding.historyIsReady = !ready.IsBoolean() || ready.As<Napi::Boolean>().Value();
  const Napi::Value headMajor = object.Get("headMajor"), scale = object.Get("softmaxScale");
  binding.headMajor = headMajor.IsBoolean() && headMajor.As<Napi::Boolean>().Value();
  binding.softmaxScale = scale.IsNumber() ? scale.As<Napi::Number>().FloatValue() : 0.f;
  return binding;
}

// ——— What needs no GPU ———

Napi::Value status(const Napi::CallbackInfo& info) {
  const CudaStatus s = cudaStatus();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("driverVersion", s.driverVersion);
  object.Set("runtimeVersion", s.runtimeVersion);
  object.Set("deviceCount", s.deviceCount);
  object.Set("error", s.error);
  return object;
}

Napi::Value layoutTable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object table = Napi::Object::New(env);
#define ISOCHRON_SET(name, value) section.Set(#name, value);
#define ISOCHRON_TABLE(key, FIELDS)                                                                                    \
  {                                                                                                                    \
    Napi::Object section = Napi::Object::New(env);                                                                     \
    FIELDS(ISOCHRON_SET) table.Set(key, section);                                                                      \
  }
  ISOCHRON_TABLE("Header", ISOCHRON_HEADER_FIELDS)
  ISOCHRON_TABLE("Request", ISOCHRON_REQUEST_FIELDS)
  ISOCHRON_TABLE("Piece", ISOCHRON_PIECE_FIELDS)
  ISOCHRON_TABLE("Merge", ISOCHRON_MERGE_FIELDS)
  ISOCHRON_TABLE("GroupRange", ISOCHRON_GROUP_RANGE_FIELDS)
  ISOCHRON_TABLE("MergeSource", ISOCHRON_MERGE_SOURCE_FIELDS)
  ISOCHRON_TABLE("GroupRange", ISOCHRON_GROUP_RANGE_FIELDS)
  table.Set("magic", kPlanMagic);
  table.Set("version", kPlanVersion);
  table.Set("headerBytes", kHeaderBytes);
  return table;
}

/** checkPlan(plan, pageTableLength, queryTokens): null, or the first fault; builds the image too, as an upload would. */
Napi::Value check(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Bytes plan = bytesOf(info[0], "plan");
    PlanCheckScratch scratch;
    PlanFault fault;
    const PlanLimits limits{info[1].As<Napi::Number>().Int64Value(), info[2].As<Napi::Number>().Int64Value()};
    if (!checkPlan(planWords(plan), plan.length, limits, scratch, fault)) throw PlanRejected(fault);
    const ImageLayout layout = imageLayout(planWords(plan));
    std::vector<uint8_t> image(layout.total);
    ImageScratch imageScratch;
    return Napi::Number::New(env, double(buildImage(PlanView{planWords(plan)}, layout, true, imageScratch, image.data()).bytes));
  });
}

// ——— Device and memory ———

Napi::Value open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] { return wrap<Context>(env, Context::open(info[0].As<Napi::Number>().Int32Value())); });
}

Napi::Value deviceInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto& context = unwrap<Context>(info[0], "context");
    const DeviceProperties& p = context->properties;
    Napi::Object object = Napi::Object::New(env);
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
  });
}

/** Of later launches and captures. For tests: few looks make workers leave their merges to others. */
Napi::Value setMergePatience(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    unwrap<Context>(info[0], "context")->mergePatience = std::max(1, info[1].As<Napi::Number>().Int32Value());
    return env.Undefined();
  });
}

Napi::Value kernelNeeds(const Napi::CallbackInfo& info) {
  KernelNeeds needs;
  Napi::Env env = info.Env();
  if (!attentionNeeds(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Number>().Int32Value(), true, &needs)) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("threads", needs.threads);
  object.Set("sharedBytes", needs.sharedBytes);
  object.Set("ctasPerSm", needs.ctasPerSm);
  object.Set("largestTile", needs.largestTile);
  return object;
}

Napi::Value allocate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto memory = unwrap<Context>(info[0], "context")->allocate(size_t(info[1].As<Napi::Number>().Int64Value()));
    return wrap<Allocation>(env, std::move(memory));
  });
}

template <class T>
Napi::Value release(const Napi::CallbackInfo& info) {
  if (info[0].IsExternal()) info[0].As<Napi::External<Handle<T>>>().Data()->object.reset();
  return info.Env().Undefined();
}

enum class Direction { write, read };

template <Direction kDirection>
Napi::Value transfer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    Memory memory = unwrap<Allocation>(info[0], "memory");
    const int64_t offset = info[1].As<Napi::Number>().Int64Value();
    const Bytes host = bytesOf(info[2], "data");
    if (offset < 0 || size_t(offset) + host.length > memory->bytes) {
      throw std::invalid_argument("bytes " + std::to_string(offset) + " to " + std::to_string(offset + int64_t(host.length)) +
                                  " are not inside a tensor of " + std::to_string(memory->bytes) + " bytes");
    }
    auto context = memory->context;
    return runAsync(env, context, [memory, offset, host]() -> Finish {
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
    }, info[2]);
  });
}

/** fill(memory, byte): every byte of the memory, in stream order. */
Napi::Value fill(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Memory& memory = unwrap<Allocation>(info[0], "memory");
    Context& context = *memory->context;
    context.requireUsable();
    context.makeCurrent();
    context.check(cudaMemsetAsync(memory->pointer, info[1].As<Napi::Number>().Int32Value(), memory->bytes, context.stream), "filling");
    return env.Undefined();
  });
}

/** fillNormal(memory, elementOffset, elements, seed, dtype): random normal 16-bit elements, in stream order. */
Napi::Value fillNormal(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Memory& memory = unwrap<Allocation>(info[0], "memory");
    const int64_t offset = info[1].As<Napi::Number>().Int64Value(), count = info[2].As<Napi::Number>().Int64Value();
    if (offset < 0 || count < 0 || size_t(offset + count) * 2 > memory->bytes) throw std::invalid_argument("elements outside the tensor");
    Context& context = *memory->context;
    context.requireUsable();
    context.makeCurrent();
    context.check(launchFillNormal(static_cast<uint16_t*>(memory->pointer) + offset, count,
                                   uint64_t(info[3].As<Napi::Number>().Int64Value()), info[4].As<Napi::Number>().Int32Value(), context.stream),
                  "filling");
    return env.Undefined();
  });
}

// ——— Launches ———

Napi::Value createSession(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Bytes plan = bytesOf(info[1], "plan");
    return wrap<Session>(env, Session::create(unwrap<Context>(info[0], "context"), planWords(plan), plan.length));
  });
}

Napi::Value sessionInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto& session = unwrap<Session>(info[0], "session");
    Napi::Object object = Napi::Object::New(env);
    object.Set("workspaceBytes", double(session->workspaceBytes));
    object.Set("uploadedBytes", double(session->lastImageBytes));
    return object;
  });
}

Finish durationOf(double us) {
  return [us](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, us); };
}

/** Resolves to the duration in µs, measured on the device. Returns null where all staging slots are in flight. */
Napi::Value awaitStopwatch(Napi::Env env, std::shared_ptr<Context> context, std::shared_ptr<Stopwatch> watch, std::shared_ptr<void> keep) {
  return runAsync(env, context, [watch, keep]() -> Finish { return durationOf(watch->waitUs()); });
}

/** launch(session, plan, binding): runs one plan eagerly; resolves to µs. */
Napi::Value launch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto session = unwrap<Session>(info[0], "session");
    const Bytes plan = bytesOf(info[1], "plan");
    auto binding = std::make_shared<Binding>(bindingOf(info[2].As<Napi::Object>()));
    session->requireBinding(*binding);
    if (!session->upload(planWords(plan), plan.length, {binding->pageTableLength, binding->queryTokens})) return env.Null();
    auto watch = std::make_shared<Stopwatch>(session->context);
    watch->start();
    session->launch(*binding, false, false);
    watch->stop();
    return runAsync(env, session->context, [watch, session, binding]() -> Finish { return durationOf(watch->waitUs()); });
  });
}

/** trace(session, plan, binding): as launch, instrumented; resolves to { durationUs, pieces, merges }, eight numbers each. */
Napi::Value trace(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto session = unwrap<Session>(info[0], "session");
    const Bytes plan = bytesOf(info[1], "plan");
    auto binding = std::make_shared<Binding>(bindingOf(info[2].As<Napi::Object>()));
    session->requireBinding(*binding);
    if (!session->upload(planWords(plan), plan.length, {binding->pageTableLength, binding->queryTokens})) return env.Null();
    session->prepareTrace(planWords(plan));
    auto watch = std::make_shared<Stopwatch>(session->context);
    watch->start();
    session->launch(*binding, false, true);
    watch->stop();
    return runAsync(env, session->context, [watch, session, binding]() -> Finish {
      const double us = watch->waitUs();
      auto trace = std::make_shared<Trace>(session->readTrace());
      return [us, trace](Napi::Env env) -> Napi::Value {
        uint64_t zero = UINT64_MAX;
        for (const TraceRecord& r : trace->pieces) zero = std::min(zero, r.startNs);
        auto columns = [env, zero](const std::vector<TraceRecord>& records) {
          Napi::Float64Array array = Napi::Float64Array::New(env, records.size() * 8);
          for (size_t i = 0; i < records.size(); i++) {
            double* row = array.Data() + i * 8;
            row[0] = double(records[i].startNs - zero) / 1000.0;
            row[1] = double(records[i].endNs - zero) / 1000.0;
            row[2] = records[i].sm;
            row[3] = records[i].worker;
            for (int k = 0; k < 4; k++) row[4 + k] = records[i].cycles[k];
          }
          return array;
        };
        Napi::Object object = Napi::Object::New(env);
        object.Set("durationUs", us);
        object.Set("pieces", columns(trace->pieces));
        object.Set("merges", columns(trace->merges));
        return object;
      };
    });
  });
}

/** capture(session, bindings, dependent) */
Napi::Value capture(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Napi::Array list = info[1].As<Napi::Array>();
    std::vector<Binding> bindings;
    for (uint32_t i = 0; i < list.Length(); i++) bindings.push_back(bindingOf(list.Get(i).As<Napi::Object>()));
    if (bindings.empty()) throw std::invalid_argument("a graph needs at least one binding");
    return wrap<Graph>(env, Graph::capture(unwrap<Session>(info[0], "session"), std::move(bindings), info[2].ToBoolean()));
  });
}

/** replay(graph, plan): resolves to µs once the replay is done; null where all staging slots are in flight. */
Napi::Value replay(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto graph = unwrap<Graph>(info[0], "graph");
    const Bytes plan = bytesOf(info[1], "plan");
    if (!graph->upload(planWords(plan), plan.length)) return env.Null();
    auto watch = std::make_shared<Stopwatch>(graph->session->context);
    watch->start();
    graph->launch();
    watch->stop();
    return runAsync(env, graph->session->context, [watch, graph]() -> Finish { return durationOf(watch->waitUs()); });
  });
}

/** replayAndWait(graph, plan): as replay, but waits here and returns µs. Null where all staging slots are in flight. */
Napi::Value replayAndWait(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto& graph = unwrap<Graph>(info[0], "graph");
    const Bytes plan = bytesOf(info[1], "plan");
    if (!graph->upload(planWords(plan), plan.length)) return env.Null();
    Stopwatch watch(graph->session->context);
    watch.start();
    graph->launch();
    watch.stop();
    return Napi::Number::New(env, watch.waitUs());
  });
}

/** queue(graph, plan): as replay, without a completion to wait for. False where all staging slots are in flight. */
Napi::Value queue(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto& graph = unwrap<Graph>(info[0], "graph");
    const Bytes plan = bytesOf(info[1], "plan");
    if (!graph->upload(planWords(plan), plan.length)) return Napi::Boolean::New(env, false);
    graph->launch();
    return Napi::Boolean::New(env, true);
  });
}

Finish timesOf(std::vector<double> us) {
  return [us = std::move(us)](Napi::Env env) -> Napi::Value {
    Napi::Float64Array array = Napi::Float64Array::New(env, us.size());
    std::copy(us.begin(), us.end(), array.Data());
    return array;
  };
}

/** time(graph, plan, warmUps, repetitions): uploads once, then times each replay by events; resolves to µs of each. */
Napi::Value time(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto graph = unwrap<Graph>(info[0], "graph");
    const Bytes plan = bytesOf(info[1], "plan");
    const int warmUps = info[2].As<Napi::Number>().Int32Value(), repetitions = info[3].As<Napi::Number>().Int32Value();
    if (!graph->upload(planWords(plan), plan.length)) return env.Null();
    return runAsync(env, graph->session->context, [graph, warmUps, repetitions]() -> Finish {
      return timesOf(timeLaunches(graph->session->context, warmUps, repetitions, [&graph] { graph->launch(); }));
    });
  });
}

/**
 * timeGather(context, key, value, pageIndices, pageTokens, entries, copies, pageSize, bytesPerToken, ctas, warmUps, reps):
 * the floor, as a graph of `copies` gathers over consecutive page tables; resolves to µs of each replay.
 */
Napi::Value timeGather(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto context = unwrap<Context>(info[0], "context");
    Memory key = unwrap<Allocation>(info[1], "key"), value = unwrap<Allocation>(info[2], "value");
    Memory pages = unwrap<Allocation>(info[3], "pageIndices"), tokens = unwrap<Allocation>(info[4], "pageTokens");
    auto number = [&info](int i) { return info[i].As<Napi::Number>().Int32Value(); };
    const int entries = number(5), copies = number(6), pageSize = number(7), bytesPerToken = number(8), ctas = number(9);
    const int warmUps = number(10), repetitions = number(11);
    return runAsync(env, context, [=]() -> Finish {
      Memory sink = context->allocate(16);
      return timesOf(timeRecorded(context, warmUps, repetitions, [&] {
        for (int c = 0; c < copies; c++) {
          launchGatherRead(key->pointer, value->pointer, static_cast<int32_t*>(pages->pointer) + int64_t(c) * entries,
                           static_cast<uint16_t*>(tokens->pointer), entries, pageSize, bytesPerToken, ctas,
                           static_cast<uint32_t*>(sink->pointer), context->stream);
        }
      }));
    });
  });
}

/**
 * timeGemm(context, x, w, y, rows, n, k, isHalf, copies, warmUps, reps): a graph of `copies` products y = x·Wᵀ, each with the
 * next n × k weights of `w`; resolves to µs of each replay.
 */
Napi::Value timeGemm(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto context = unwrap<Context>(info[0], "context");
    Memory x = unwrap<Allocation>(info[1], "x"), w = unwrap<Allocation>(info[2], "w"), y = unwrap<Allocation>(info[3], "y");
    auto number = [&info](int i) { return info[i].As<Napi::Number>().Int32Value(); };
    const int64_t rows = number(4), n = number(5), k = number(6), copies = number(8);
    const bool isHalf = info[7].ToBoolean();
    const int warmUps = number(9), repetitions = number(10);
    auto require = [](const char* name, const Memory& memory, int64_t bytes) {
      if (bytes <= 0 || int64_t(memory->bytes) < bytes) throw std::invalid_argument(std::string(name) + " has less than " + std::to_string(bytes) + " bytes");
    };
    require("x", x, rows * k * 2);
    require("w", w, copies * n * k * 2);
    require("y", y, rows * n * 2);
    return runAsync(env, context, [=]() -> Finish {
      Cublas cublas(context);
      auto product = [&](int64_t copy) {
        return Gemm{x->pointer, static_cast<uint16_t*>(w->pointer) + copy * n * k, y->pointer, int(rows), int(n), int(k), isHalf};
      };
      cublas.queue(product(0));  // cuBLAS loads its kernels at first use, which a capture may not
      return timesOf(timeRecorded(context, warmUps, repetitions, [&] {
        for (int64_t c = 0; c < copies; c++) cublas.queue(product(c));
      }));
    });
  });
}

/** drain(context): resolves when everything queued so far is done. */
Napi::Value drain(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto context = unwrap<Context>(info[0], "context");
    return runAsync(env, context, [context]() -> Finish {
      context->check(cudaStreamSynchronize(context->stream), "waiting for the stream");
      return nullptr;
    });
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto* mailbox = new Mailbox();
  mailbox->function = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "isochron", 0, 1);
  mailbox->function.Unref(env);
  env.SetInstanceData(mailbox);
  static std::atomic<int> environments{0};
  environments++;
  env.AddCleanupHook([] {
    if (--environments == 0) Context::endThreads();
  });
  const std::pair<const char*, Napi::Value (*)(const Napi::CallbackInfo&)> functions[] = {
      {"status", status},
      {"layoutTable", layoutTable},
      {"checkPlan", check},
      {"open", open},
      {"closeContext", release<Context>},
      {"deviceInfo", deviceInfo},
      {"setMergePatience", setMergePatience},
      {"kernelNeeds", kernelNeeds},
      {"allocate", allocate},
      {"releaseMemory", release<Allocation>},
      {"write", transfer<Direction::write>},
      {"read", transfer<Direction::read>},
      {"fill", fill},
      {"fillNormal", fillNormal},
      {"createSession", createSession},
      {"releaseSession", release<Session>},
      {"sessionInfo", sessionInfo},
      {"launch", launch},
      {"trace", trace},
      {"capture", capture},
      {"releaseGraph", release<Graph>},
      {"replay", replay},
      {"replayAndWait", replayAndWait},
      {"queue", queue},
      {"time", time},
      {"timeGather", timeGather},
      {"timeGemm", timeGemm},
      {"drain", drain},
  };
  for (const auto& [name, function] : functions) exports.Set(name, Napi::Function::New(env, function, name));
  return exports;
}

}  // namespace

NODE_API_MODULE(isochron_cuda, initialise)
