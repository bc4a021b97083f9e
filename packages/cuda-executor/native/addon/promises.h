// Promises that a context's thread keeps: work runs there, its result comes back to the JavaScript thread.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "../graph.h"

namespace isochron {

/** Makes a promise's value, on the JavaScript thread; empty for undefined. */
using Finish = std::function<Napi::Value(Napi::Env)>;

/** Once for each environment, before any promise. The event loop then stays alive only while one is pending. */
void openMailbox(Napi::Env env);

/** Runs `work` on the context's thread; exceptions reject the promise. `keepAlive` is not collected before it is settled. */
Napi::Value runAsync(Napi::Env env, const std::shared_ptr<Context>& context, std::function<Finish()> work,
                     Napi::Value keepAlive = Napi::Value());

/** Resolves to the µs between the watch's events; what is `kept` lives until the second one. */
template <class... Kept>
Napi::Value promiseDuration(Napi::Env env, const std::shared_ptr<Context>& context, std::shared_ptr<Stopwatch> watch, Kept... kept) {
  return runAsync(env, context, [watch, kept...]() -> Finish {
    const double us = watch->waitUs();
    return [us](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, us); };
  });
}

/** A Float64Array of durations in µs. */
Finish durations(std::vector<double> us);

}  // namespace isochron
