#include "promises.h"

#include <algorithm>

#include "errors.h"

namespace isochron {

namespace {

/** Brings results of other threads back to JavaScript; keeps the event loop alive only while something is pending. */
struct Mailbox {
  Napi::ThreadSafeFunction function;
  int pending = 0;
};

}  // namespace

void openMailbox(Napi::Env env) {
  auto* mailbox = new Mailbox();
  mailbox->function = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "isochron", 0, 1);
  mailbox->function.Unref(env);
  env.SetInstanceData(mailbox);
}

Napi::Value runAsync(Napi::Env env, const std::shared_ptr<Context>& context, std::function<Finish()> work, Napi::Value keepAlive) {
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

Finish durations(std::vector<double> us) {
  return [us = std::move(us)](Napi::Env env) -> Napi::Value {
    Napi::Float64Array array = Napi::Float64Array::New(env, us.size());
    std::copy(us.begin(), us.end(), array.Data());
    return array;
  };
}

}  // namespace isochron
