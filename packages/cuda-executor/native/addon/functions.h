// The functions that JavaScript sees: each file of this folder lists its own, module.cc registers them all.
#pragma once
#include <napi.h>

#include <vector>

namespace isochron {

/** C++ exceptions that leave `call` become JavaScript errors (errors.h). */
struct Function {
  const char* name;
  Napi::Value (*call)(const Napi::CallbackInfo& info);
};
using Functions = std::vector<Function>;

Functions planFunctions();
Functions deviceFunctions();
Functions tensorFunctions();
Functions launchFunctions();
Functions graphFunctions();
Functions calibrationFunctions();

}  // namespace isochron
