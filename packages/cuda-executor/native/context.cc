#include "context.h"

#include <algorithm>
#include <vector>

namespace isochron {

CudaStatus cudaStatus() {
  CudaStatus status;
  cudaRuntimeGetVersion(&status.runtimeVersion);
  cudaError_t error = cudaDriverGetVersion(&status.driverVersion);
  if (error == cudaSuccess && status.driverVersion > 0) error = cudaGetDeviceCount(&status.deviceCount);
  if (status.driverVersion == 0) status.error = "no NVIDIA driver";
  else if (error != cudaSuccess) status.error = cudaGetErrorString(error);
  else if (status.deviceCount == 0) status.error = "no CUDA device";
  cudaGetLastError();
  return status;
}

namespace {
/** Errors after which every call on the device fails: the process must be started again to use it. */
bool isSticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}
}  // namespace

CudaFailure::CudaFailure(cudaError_t error, const std::string& doing)
    : std::runtime_error(doing + ": " + cudaGetErrorString(error)), error(error), sticky(isSticky(error)) {}

Allocation::Allocation(std::shared_ptr<Context> context, void* pointer, size_t bytes)
    : context(std::move(context)), pointer(pointer), bytes(bytes) {
  this->context->bytesInUse += bytes;
}
Allocation::~Allocation() {
  context->bytesInUse -= bytes;
  context->releaseLater(pointer);
}

namespace {
/** Threads whose context is gone, waiting to be joined; and all that live, for the end of the process. */
struct Threads {
  std::mutex mutex;
  std::vector<std::shared_ptr<Context::Queue>> all;
  std::atomic<bool> ended{false};

  /** Joins every thread that `chosen` says. Never called on one of them. */
  template <class Chosen>
  void join(Chosen&& chosen) {
    std::vector<std::shared_ptr<Context::Queue>> joining;
    {
      std::lock_guard<std::mutex> lock(mutex);
      auto kept = std::partition(all.begin(), all.end(), [&](const auto& queue) { return !chosen(*queue); });
      joining.assign(kept, all.end());
      all.erase(kept, all.end());
    }
    for (const auto& queue : joining) {
      if (queue->thread.joinable()) queue->thread.join();
    }
  }
};
Threads& threads() {
  static Threads* instance = new Threads();  // never destroyed: work may end after static objects do
  return *instance;
}
}  // namespace

void Context::endThreads() {
  {
    std::lock_guard<std::mutex> lock(threads().mutex);
    threads().ended = true;
    for (const auto& queue : threads().all) {
      std::lock_guard<std::mutex> own(queue->mutex);
      queue->stopping = true;
      queue->wake.notify_one();
    }
  }
  threads().join([](const Queue&) { return true; });
}

std::shared_ptr<Context> Context::open(int device) {
  threads().join([](const Queue& queue) { return queue.abandoned.load(); });
  std::shared_ptr<Context> context(new Context());
  context->device = device;
  cudaDeviceProp prop{};
  cudaError_t error = cudaGetDeviceProperties(&prop, device);
  if (error != cudaSuccess) throw CudaFailure(error, "reading the properties of device " + std::to_string(device));
  context->properties.name = prop.name;
  context->properties.smCount = prop.multiProcessorCount;
  context->properties.sharedBytesPerSm = int(prop.sharedMemPerMultiprocessor);
  context->properties.l2Bytes = prop.l2CacheSize;
  context->properties.major = prop.major;
  context->properties.minor = prop.minor;
  context->properties.memoryBytes = prop.totalGlobalMem;
  cudaDeviceGetAttribute(&context->properties.clockKHz, cudaDevAttrClockRate, device);
  cudaDeviceGetAttribute(&context->properties.memoryClockKHz, cudaDevAttrMemoryClockRate, device);
  context->makeCurrent();
  context->check(cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking), "creating a stream");
  context->queue_->thread = std::thread(run, device, context->queue_);
  std::lock_guard<std::mutex> lock(threads().mutex);
  threads().all.push_back(context->queue_);
  return context;
}

Context::~Context() {
  {
    std::lock_guard<std::mutex> lock(queue_->mutex);
    queue_->stopping = true;
    // On its own thread (the last reference was in a piece of work): the next open(), or the end, joins it.
    queue_->abandoned = true;
  }
  queue_->wake.notify_one();
  if (threads().ended) return;  // the driver may be gone already; the process is ending
  makeCurrent();
  if (stream != nullptr) {
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
}

void Context::run(int device, std::shared_ptr<Queue> queue) {
  cudaSetDevice(device);
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock<std::mutex> lock(queue->mutex);
      queue->wake.wait(lock, [&queue] { return queue->stopping || !queue->work.empty(); });
      if (queue->work.empty()) return;
      work = std::move(queue->work.front());
      queue->work.pop_front();
    }
    work();
  }
}

void Context::enqueue(std::function<void()> work) {
  {
    std::lock_guard<std::mutex> lock(queue_->mutex);
    // After the end nobody runs it: what it would free goes with the process.
    if (threads().ended) return;
    queue_->work.push_back(std::move(work));
  }
  queue_->wake.notify_one();
}

void Context::releaseLater(void* pointer) {
  enqueue([pointer] { cudaFree(pointer); });
}

void Context::requireUsable() const {
  if (const int error = poisoned_.load()) throw CudaFailure(cudaError_t(error), "an earlier launch failed");
}

void Context::check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  CudaFailure failure(error, doing);
  if (failure.sticky) poisoned_ = int(error);
  else cudaGetLastError();
  throw failure;
}

Memory Context::allocate(size_t bytes) {
  requireUsable();
  makeCurrent();
  void* pointer = nullptr;
  const cudaError_t error = cudaMalloc(&pointer, std::max<size_t>(bytes, 16));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    CudaFailure failure(error, "allocating device memory");
    failure.requested = bytes;
    size_t total = 0;
    cudaMemGetInfo(&failure.free, &total);
    throw failure;
  }
  check(error, "allocating device memory");
  return std::make_shared<Allocation>(shared_from_this(), pointer, bytes);
}

Stopwatch::Stopwatch(std::shared_ptr<Context> context) : context_(std::move(context)) {
  context_->check(cudaEventCreate(&start_), "creating an event");
  context_->check(cudaEventCreate(&end_), "creating an event");
}
Stopwatch::~Stopwatch() {
  if (start_ != nullptr) cudaEventDestroy(start_);
  if (end_ != nullptr) cudaEventDestroy(end_);
}
void Stopwatch::start() { context_->check(cudaEventRecord(start_, context_->stream), "recording an event"); }
void Stopwatch::stop() { context_->check(cudaEventRecord(end_, context_->stream), "recording an event"); }
double Stopwatch::waitUs() {
  context_->check(cudaEventSynchronize(end_), "running the launch");
  float ms = 0.f;
  context_->check(cudaEventElapsedTime(&ms, start_, end_), "reading an event");
  return double(ms) * 1000.0;
}

}  // namespace isochron
