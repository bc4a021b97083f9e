#include "arguments.h"

namespace isochron {

Bytes bytesOf(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray()) throw std::invalid_argument(std::string(what) + " is not a typed array");
  const auto array = value.As<Napi::TypedArray>();
  return {static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
}

PlanBytes planOf(const Napi::Value& value) {
  const Bytes bytes = bytesOf(value, "plan");
  if (reinterpret_cast<uintptr_t>(bytes.data) % 4 != 0) throw std::invalid_argument("the plan is not aligned to 4 bytes");
  return {reinterpret_cast<const int32_t*>(bytes.data), bytes.length};
}

Binding bindingOf(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  auto memory = [&object](const char* key) -> Memory {
    const Napi::Value handle = object.Get(key);
    return handle.IsExternal() ? unwrap<Allocation>(handle, key) : nullptr;
  };
  auto integer = [&object](const char* key) -> int64_t {
    const Napi::Value number = object.Get(key);
    return number.IsNumber() ? int64Of(number) : 0;
  };
  auto boolean = [&object](const char* key, bool otherwise) {
    const Napi::Value flag = object.Get(key);
    return flag.IsBoolean() ? flag.As<Napi::Boolean>().Value() : otherwise;
  };
  const Napi::Value scale = object.Get("softmaxScale");
  Binding binding;
  binding.query = memory("query");
  binding.key = memory("key");
  binding.value = memory("value");
  binding.output = memory("output");
  binding.lse = memory("lse");
  binding.pageIndices = memory("pageIndices");
  binding.sinks = memory("sinks");
  binding.queryOffset = integer("queryOffset");
  binding.outputOffset = integer("outputOffset");
  binding.lseOffset = integer("lseOffset");
  binding.keyOffset = integer("keyOffset");
  binding.valueOffset = integer("valueOffset");
  binding.pageIndexOffset = integer("pageIndexOffset");
  binding.pageTableLength = integer("pageTableLength");
  binding.queryTokens = integer("queryTokens");
  binding.pages = integer("pages");
  binding.historyIsReady = boolean("historyIsReady", true);
  binding.headMajor = boolean("headMajor", false);
  binding.softmaxScale = scale.IsNumber() ? scale.As<Napi::Number>().FloatValue() : 0.f;
  return binding;
}

}  // namespace isochron
