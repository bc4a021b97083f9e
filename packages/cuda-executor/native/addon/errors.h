// C++ exceptions as JavaScript errors: a `code` and the fields of the exception; binding.ts makes classes of them.
#pragma once
#include <napi.h>

#include <exception>

namespace isochron {

Napi::Value toError(Napi::Env env, const std::exception_ptr& failure);

}  // namespace isochron
