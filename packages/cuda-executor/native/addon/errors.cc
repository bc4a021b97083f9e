#include "errors.h"

#include "../session.h"

namespace isochron {

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

}  // namespace isochron
