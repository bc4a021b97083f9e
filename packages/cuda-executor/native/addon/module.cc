// The addon as Node loads it. This folder alone knows JavaScript: it turns handles, typed arrays and promises into
// native objects and back, and C++ exceptions into JavaScript errors.
#include <napi.h>

#include <atomic>

#include "../graph.h"
#include "errors.h"
#include "functions.h"
#include "promises.h"

namespace {

using namespace isochron;

Napi::Value callFunction(Function function, const Napi::CallbackInfo& info) {
  try {
    return function.call(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    napi_throw(info.Env(), toError(info.Env(), std::current_exception()));
    return info.Env().Undefined();
  }
}

/** Contexts' threads end with the last environment: the main thread's, and one for each worker thread that loads the addon. */
void endThreadsWithLastEnvironment(Napi::Env env) {
  static std::atomic<int> environments{0};
  environments++;
  env.AddCleanupHook([] {
    if (--environments == 0) Context::endThreads();
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  openMailbox(env);
  endThreadsWithLastEnvironment(env);
  for (const Functions& functions : {planFunctions(), deviceFunctions(), tensorFunctions(), launchFunctions(), graphFunctions(), calibrationFunctions()}) {
    for (const Function& function : functions) {
      auto call = [function](const Napi::CallbackInfo& info) { return callFunction(function, info); };
      exports.Set(function.name, Napi::Function::New(env, call, function.name));
    }
  }
  return exports;
}

}  // namespace

NODE_API_MODULE(isochron_cuda, initialise)
