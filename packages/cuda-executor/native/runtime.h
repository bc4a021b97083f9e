// Device, streams, memory, plan slots and graphs: everything of CUDA that is not a kernel. Knows nothing of JavaScript.
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
#include <vector>

#include "kernels/attention.h"
#include "kernels/invariant.h"
#include "plan_image.h"
#include "plan_view.h"

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

/** A plan that must not be run. */
struct PlanRejected : std::runtime_error {
  explicit PlanRejected(PlanFault fault) : std::runtime_error(fault.field), fault(std::move(fault)) {}
  PlanFault fault;
};

/** What is asked of a kernel that does not exist. */
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
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

/** Tensors of one launch. Strides are in elements; the same for key and value. */
struct Binding {
  Memory query, key, value, output, lse, pageIndices, sinks;
  int64_t queryOffset = 0, outputOffset = 0, lseOffset = 0, keyOffset = 0, valueOffset = 0;  // elements
  int64_t pageIndexOffset = 0, pageTableLength = 0, queryTokens = 0, pages = 0;
  bool historyIsReady = true;
  bool headMajor = false;  // HND: [pages, kvHeads, pageSize, headDim]
  float softmaxScale = 0.f;
};

/** Start and end of pieces and merges of one launch, in nanoseconds since the first. */
struct Trace {
  std::vector<TraceRecord> pieces, merges;
};

/** All plans of one attention shape and one set of capacities: their device image, staging slots and workspace. */
class Session : public std::enable_shared_from_this<Session> {
 public:
  static std::shared_ptr<Session> create(std::shared_ptr<Context> context, const int32_t* planHeader, size_t bytes);
  ~Session();

  /** Checks the plan, copies its image to the device. Throws PlanRejected. False where all staging slots are in flight. */
  bool upload(const int32_t* plan, size_t bytes, const PlanLimits& limits);
  /** Queues one launch of the plan that was uploaded last. */
  void launch(const Binding& binding, bool dependent, bool timed);
  void requireBinding(const Binding& binding) const;
  void prepareTrace(const int32_t* plan);
  Trace readTrace();

  std::shared_ptr<Context> context;
  size_t workspaceBytes = 0;
  int64_t lastImageBytes = 0;

 private:
  static constexpr int kSlots = 4;
  struct Slot {
    uint8_t* staging = nullptr;
    cudaEvent_t copied = nullptr;
  };
  int32_t header_[64] = {};
  ImageLayout layout_{};
  int largestTile_ = 64;
  bool tall_ = true, canonical_ = false;
  int workers_ = 0;          // of every launch
  int workersPerCta_ = 1;
  bool mergesHere_ = false;  // workers may wait for each other
  Memory nodes_;  // of canonical trees (CanonicalParams::spilled): a launch is done with them before the next begins its pieces
  Memory image_, partialOutput_, partialState_, awaitedRows_, counters_, progress_, pieceTrace_, mergeTrace_;
  int64_t pieceTraceCount_ = 0, mergeTraceCount_ = 0;
  Slot slots_[kSlots];
  int nextSlot_ = 0;
  PlanCheckScratch checkScratch_;
  ImageScratch imageScratch_;
};

/** Launches recorded once; any plan of the session's budget can be replayed through them. */
class Graph {
 public:
  static std::shared_ptr<Graph> capture(std::shared_ptr<Session> session, std::vector<Binding> bindings, bool dependent);
  ~Graph();
  bool upload(const int32_t* plan, size_t bytes) { return session->upload(plan, bytes, limits_); }
  void launch();

  std::shared_ptr<Session> session;

 private:
  std::vector<Binding> bindings_;
  PlanLimits limits_{};
  cudaGraphExec_t exec_ = nullptr;
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
