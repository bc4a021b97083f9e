// The device: its memory, a stream, and a thread for what waits. Knows nothing of JavaScript, nor of plans.
//
// Every object is shared: an allocation lives until the last launch, graph or handle that uses it is gone. Calls that may
// wait run on the context's own thread (`enqueue`); launching never waits.
#pragma once
#include <cuda_runtime.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace isochron {

/** What this machine offers, without touching more than the driver. */
struct CudaStatus {
  int driverVersion = 0, runtimeVersion = 0, deviceCount = 0;
  std::string error;  // why there is no device; empty where there is one
};
CudaStatus cudaStatus();

struct DeviceProperties {
  std::string name;
  int smCount = 0, sharedBytesPerSm = 0, l2Bytes = 0, major = 0, minor = 0, clockKHz = 0, memoryClockKHz = 0;
  size_t memoryBytes = 0;
};

/** A failed CUDA call. `requested` and `free` are set for lack of memory; `sticky` errors end the context's usefulness. */
struct CudaFailure : std::runtime_error {
  CudaFailure(cudaError_t error, const std::string& doing);
  cudaError_t error;
  size_t requested = 0, free = 0;
  bool sticky = false;
};

/** A library that a call needs and this machine has not. */
struct MissingLibrary : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Context;

/** Device memory, freed with its last owner, on the context's thread. */
struct Allocation {
  Allocation(std::shared_ptr<Context> context, void* pointer, size_t bytes);
  ~Allocation();
  std::shared_ptr<Context> context;
  void* pointer;
  size_t bytes;
};
using Memory = std::shared_ptr<Allocation>;

/** One device: a stream, a thread for what waits, and the memory in use. */
class Context : public std::enable_shared_from_this<Context> {
 public:
  static std::shared_ptr<Context> open(int device);
  ~Context();

  Memory allocate(size_t bytes);
  /** Runs `work` on the context's thread, after all that was enqueued before. */
  void enqueue(std::function<void()> work);
  /** Throws where an earlier error left the device unusable. */
  void requireUsable() const;
  void check(cudaError_t error, const char* doing);
  void makeCurrent() const { cudaSetDevice(device); }
  void releaseLater(void* pointer);

  /** Of the thread, which may outlive the context by the work that drops the last reference to it. */
  struct Queue {
    std::thread thread;
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> work;
    bool stopping = false;
    std::atomic<bool> abandoned{false};
  };
  /** Finishes and joins all contexts' threads; for the end of the process, before the driver goes. */
  static void endThreads();

  int device = 0;
  cudaStream_t stream = nullptr;
  DeviceProperties properties;
  std::atomic<size_t> bytesInUse{0};
  /** Looks for a slot, 0.7 µs each, before a worker leaves its merges: longer than workers' pieces outlast each other's. */
  int mergePatience = 1 << 13;

 private:
  Context() = default;
  static void run(int device, std::shared_ptr<Queue> queue);
  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  std::atomic<int> poisoned_{0};
};

/** Two events around queued work. */
class Stopwatch {
 public:
  explicit Stopwatch(std::shared_ptr<Context> context);
  ~Stopwatch();
  void start();
  void stop();
  /** Waits, then returns microseconds. Call on the context's thread. */
  double waitUs();
  bool done() const { return cudaEventQuery(end_) != cudaErrorNotReady; }

 private:
  std::shared_ptr<Context> context_;
  cudaEvent_t start_ = nullptr, end_ = nullptr;
};

}  // namespace isochron
