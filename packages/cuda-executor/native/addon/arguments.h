// What functions are given: handles of shared objects, numbers, bytes, plans and bindings. Throws std::invalid_argument.
#pragma once
#include <napi.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "../graph.h"

namespace isochron {

/** A JavaScript value that owns a share of a C++ object; empty once released. */
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

/** release(handle): gives up the handle's share now, not when it is collected. */
template <class T>
Napi::Value release(const Napi::CallbackInfo& info) {
  if (info[0].IsExternal()) info[0].As<Napi::External<Handle<T>>>().Data()->object.reset();
  return info.Env().Undefined();
}

inline int32_t int32Of(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }
inline int64_t int64Of(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

/** The memory of a typed array. */
struct Bytes {
  uint8_t* data;
  size_t length;
};
Bytes bytesOf(const Napi::Value& value, const char* what);

/** A plan's bytes, aligned, not checked. */
struct PlanBytes {
  const int32_t* words;
  size_t length;
};
PlanBytes planOf(const Napi::Value& value);

/** The tensors of one launch: NativeBinding of binding.ts. */
Binding bindingOf(const Napi::Value& value);

}  // namespace isochron
