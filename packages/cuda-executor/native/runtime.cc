#include "runtime.h"

#include <algorithm>
#include <cmath>
#include <cstring>

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

std::shared_ptr<Session> Session::create(std::shared_ptr<Context> context, const int32_t* planHeader, size_t bytes) {
  if (bytes < size_t(kHeaderBytes)) throw PlanRejected({"buffer.byteLength", -1, int64_t(bytes), "at least 256"});
  std::shared_ptr<Session> session(new Session());
  std::memcpy(session->header_, planHeader, kHeaderBytes);
  const int32_t* h = session->header_;
  for (int field = header::workerCapacity; field <= header::groupMemberCapacity; field++) {
    if (h[field] < 0 || h[field] > kMaxCapacity) {
      throw PlanRejected({"header.capacities", field - header::workerCapacity, h[field], "0 to " + std::to_string(kMaxCapacity)});
    }
  }
  // Every row of a tile that may be split fits a slot, so low slots mean low tiles, unless this very plan has others.
  bool tall = h[header::slotRows] > 16;
  PlanFault fault;
  if (!checkPlan(planHeader, bytes, {INT64_MAX, INT32_MAX}, session->checkScratch_, fault)) throw PlanRejected(fault);
  for (int i = 0; i < h[header::pieceRecordCount]; i++) {
    tall |= int(uint32_t(PlanView{planHeader}.piece(i)[piece::rows]) >> 16) > 16;
  }
  session->tall_ = tall;
  session->canonical_ = h[header::mergeOrder] == int(MergeOrder::canonicalTree);
  KernelNeeds needs;
  const auto needsOf = session->canonical_ ? canonicalNeeds : attentionNeeds;
  if (h[header::dtype] != h[header::kvDtype] || !needsOf(h[header::headDim], h[header::dtype], tall, &needs)) {
    throw Unsupported("head dimension " + std::to_string(h[header::headDim]) + " with dtypes " + std::to_string(h[header::dtype]) +
                      "/" + std::to_string(h[header::kvDtype]) + " (kernels exist for 64, 128 and 256, bf16 or fp16)");
  }
  if (h[header::valueHeadDim] != h[header::headDim]) throw Unsupported("a value head dimension other than the head dimension");
  if (int64_t(h[header::pageSize]) * h[header::kvHeads] * h[header::headDim] * 2 > INT32_MAX) throw Unsupported("pages over 2 GiB");
  if (needs.sharedBytes + 1024 > context->properties.sharedBytesPerSm) {
    throw Unsupported("devices with less than " + std::to_string(needs.sharedBytes + 1024) + " bytes of shared memory an SM");
  }
  context->makeCurrent();
  const auto prepare = session->canonical_ ? prepareCanonical : prepareAttention;
  context->check(prepare(h[header::headDim], h[header::dtype], tall), "preparing the kernel");
  // Persistent plans of a device all have the same workers; CTAs without any would only hold up the next launch.
  session->workers_ = h[header::launch] == 0 ? h[header::workers] : h[header::workerCapacity];
  const auto isResident = session->canonical_ ? canonicalIsResident : attentionIsResident;
  context->check(isResident(h[header::headDim], h[header::dtype], tall, session->workers_, &session->mergesHere_),
                 "asking how many workers are resident");
  session->context = context;
  session->layout_ = imageLayout(h);
  // A CTA that does two workers' pieces takes them in turn, whoever they belong to.
  session->workersPerCta_ = needs.workersPerCta;
  session->largestTile_ = !tall ? 16 : needs.largestTile;
  const int64_t slotRows = int64_t(h[header::partialSlotCapacity]) * std::max(h[header::slotRows], 0);
  session->image_ = context->allocate(session->layout_.total);
  session->partialOutput_ = context->allocate(slotRows * h[header::headDim] * 4);
  session->partialState_ = context->allocate(slotRows * 8);
  // With a copy of the state for each 8 columns.
  const int64_t awaitedElements = session->canonical_ ? 0 : int64_t(awaitedPlaces(h)) * kAwaitedRows * h[header::headDim];
  session->awaitedRows_ = context->allocate(awaitedElements * 5);
  context->check(cudaMemsetAsync(session->awaitedRows_->pointer, 0xff, session->awaitedRows_->bytes, context->stream), "clearing rows");
  session->counters_ = context->allocate(int64_t(h[header::mergeCapacity]) * 4);
  context->check(cudaMemsetAsync(session->counters_->pointer, 0, std::max<size_t>(session->counters_->bytes, 16), context->stream),
                 "clearing counters");
  // A count, and what each worker and each of its four warps left.
  const int64_t left = 5 * int64_t(session->workers_);
  session->progress_ = context->allocate((1 + left) * sizeof(int32_t));
  context->check(cudaMemsetAsync(session->progress_->pointer, 0, sizeof(int32_t), context->stream), "clearing the progress");
  context->check(cudaMemsetAsync(static_cast<int32_t*>(session->progress_->pointer) + 1, 0xff, left * sizeof(int32_t), context->stream),
                 "clearing the progress");
  if (session->canonical_) {
    // Of each worker, or of both warpgroups of each CTA that does two workers' pieces.
    const int64_t places = session->workers_ + session->workers_ % needs.workersPerCta;
    session->nodes_ = context->allocate(places * (tall ? kTallSpilledRows : kSpilledRows) * (h[header::headDim] + 2) * 4);
    session->workspaceBytes += session->nodes_->bytes;
  }
  for (Slot& slot : session->slots_) {
    void* staging = nullptr;
    context->check(cudaMallocHost(&staging, session->layout_.total), "allocating pinned memory");
    slot.staging = static_cast<uint8_t*>(staging);
    std::memset(staging, 0, session->layout_.total);
    context->check(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "creating an event");
  }
  session->workspaceBytes += session->image_->bytes + session->partialOutput_->bytes + session->partialState_->bytes + session->awaitedRows_->bytes + session->counters_->bytes +
                            session->progress_->bytes;
  return session;
}

Session::~Session() {
  if (context == nullptr) return;
  // What is queued may still read the staging memory and the image: freed behind it, on the context's thread.
  std::vector<Slot> slots(slots_, slots_ + kSlots);
  cudaStream_t stream = context->stream;
  context->enqueue([slots, stream, keep = context] {
    cudaStreamSynchronize(stream);
    for (const Slot& slot : slots) {
      if (slot.staging != nullptr) cudaFreeHost(slot.staging);
      if (slot.copied != nullptr) cudaEventDestroy(slot.copied);
    }
  });
}

bool Session::upload(const int32_t* plan, size_t bytes, const PlanLimits& limits) {
  context->requireUsable();
  PlanFault fault;
  if (bytes < size_t(kHeaderBytes)) throw PlanRejected({"buffer.byteLength", -1, int64_t(bytes), "at least 256"});
  struct Fixed { int field; const char* name; };
#define ISOCHRON_FIXED(name) {header::name, "header." #name}
  static const Fixed kFixed[] = {
      ISOCHRON_FIXED(fingerprint), ISOCHRON_FIXED(queryHeads), ISOCHRON_FIXED(kvHeads), ISOCHRON_FIXED(headDim),
      ISOCHRON_FIXED(valueHeadDim), ISOCHRON_FIXED(dtype), ISOCHRON_FIXED(kvDtype), ISOCHRON_FIXED(pageSize),
      ISOCHRON_FIXED(maskKind), ISOCHRON_FIXED(window), ISOCHRON_FIXED(packedHeads), ISOCHRON_FIXED(slotRows),
      ISOCHRON_FIXED(sinks), ISOCHRON_FIXED(softCapBits), ISOCHRON_FIXED(mergeOrder), ISOCHRON_FIXED(mergeGridTokens), ISOCHRON_FIXED(workerCapacity),
      ISOCHRON_FIXED(requestCapacity), ISOCHRON_FIXED(pieceCapacity), ISOCHRON_FIXED(mergeCapacity),
      ISOCHRON_FIXED(mergeSourceCapacity), ISOCHRON_FIXED(partialSlotCapacity), ISOCHRON_FIXED(groupCapacity),
      ISOCHRON_FIXED(groupMemberCapacity)};
#undef ISOCHRON_FIXED
  for (const Fixed& fixed : kFixed) {
    if (plan[fixed.field] != header_[fixed.field]) {
      throw PlanRejected({fixed.name, -1, plan[fixed.field], std::to_string(header_[fixed.field]) + ", as when it was captured"});
    }
  }
  if (!checkPlan(plan, bytes, limits, checkScratch_, fault)) throw PlanRejected(fault);
  if (plan[header::workers] > workers_) {
    throw PlanRejected({"header.workers", -1, plan[header::workers], "at most " + std::to_string(workers_) + ", as when it was captured"});
  }
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) {
    const int tileRows = int(uint32_t(PlanView{plan}.piece(i)[piece::rows]) >> 16);
    if (tileRows > largestTile_) {
      throw PlanRejected({"pieces.tileRows", i, tileRows, "at most " + std::to_string(largestTile_) + ", the largest query tile of the kernel that was captured"});
    }
  }

  Slot& slot = slots_[nextSlot_];
  const cudaError_t ready = cudaEventQuery(slot.copied);
  if (ready == cudaErrorNotReady) return false;
  context->check(ready, "checking a staging slot");
  nextSlot_ = (nextSlot_ + 1) % kSlots;
  context->makeCurrent();
  const ImageUse use = buildImage(PlanView{plan}, layout_, workersPerCta_ == 1, imageScratch_, slot.staging);
  lastImageBytes = use.bytes + use.listBytes;
  auto copy = [&](int64_t start, int64_t count) {
    uint8_t* target = static_cast<uint8_t*>(image_->pointer) + start;
    context->check(cudaMemcpyAsync(target, slot.staging + start, count, cudaMemcpyHostToDevice, context->stream), "uploading a plan");
  };
  copy(use.start, use.bytes);
  if (use.listBytes > 0) copy(use.listStart, use.listBytes);
  context->check(cudaEventRecord(slot.copied, context->stream), "recording an event");
  return true;
}

void Session::requireBinding(const Binding& b) const {
  const int64_t headDim = header_[header::headDim];
  const int64_t page = int64_t(header_[header::pageSize]) * header_[header::kvHeads] * headDim;
  const int64_t rows = b.queryTokens * header_[header::queryHeads];
  auto require = [](const char* name, const Memory& memory, int64_t bytes) {
    if (memory == nullptr) throw std::invalid_argument(std::string(name) + " is missing");
    if (int64_t(memory->bytes) < bytes) {
      throw std::invalid_argument(std::string(name) + " has " + std::to_string(memory->bytes) + " bytes, expected at least " +
                                  std::to_string(bytes));
    }
  };
  require("query", b.query, (b.queryOffset + rows * headDim) * 2);
  require("output", b.output, (b.outputOffset + rows * headDim) * 2);
  require("lse", b.lse, (b.lseOffset + rows) * 4);
  require("key", b.key, (b.keyOffset + b.pages * page) * 2);
  require("value", b.value, (b.valueOffset + b.pages * page) * 2);
  require("pageIndices", b.pageIndices, (b.pageIndexOffset + b.pageTableLength) * 4);
  if (header_[header::sinks] == 1) require("sinks", b.sinks, int64_t(header_[header::queryHeads]) * 4);
}

void Session::launch(const Binding& b, bool dependent, bool timed) {
  context->requireUsable();
  context->makeCurrent();
  const int32_t* h = header_;
  const int64_t headDim = h[header::headDim], heads = h[header::kvHeads], pageSize = h[header::pageSize];
  uint8_t* image = static_cast<uint8_t*>(image_->pointer);
  AttentionParams p{};
  p.query = static_cast<uint16_t*>(b.query->pointer) + b.queryOffset;
  p.key = static_cast<uint16_t*>(b.key->pointer) + b.keyOffset;
  p.value = static_cast<uint16_t*>(b.value->pointer) + b.valueOffset;
  p.output = static_cast<uint16_t*>(b.output->pointer) + b.outputOffset;
  p.lse = static_cast<float*>(b.lse->pointer) + b.lseOffset;
  p.sinks = h[header::sinks] == 1 ? static_cast<float*>(b.sinks->pointer) : nullptr;
  p.pageIndices = static_cast<int32_t*>(b.pageIndices->pointer) + b.pageIndexOffset;
  p.workers = reinterpret_cast<WorkerRecord*>(image + layout_.workers);
  p.slotJobIndptr = reinterpret_cast<int32_t*>(image + layout_.slotJobIndptr);
  p.slotJobs = reinterpret_cast<int32_t*>(image + layout_.slotJobs);
  p.sources = reinterpret_cast<SourceRecord*>(image + layout_.sources);
  p.members = reinterpret_cast<MemberRecord*>(image + layout_.members);
  p.pieces = reinterpret_cast<PieceRecord*>(image + layout_.pieces);
  p.units = reinterpret_cast<UnitRecord*>(image + layout_.units);
  p.mergePatience = mergesHere_ ? context->mergePatience : 0;
  p.partialOutput = static_cast<float*>(partialOutput_->pointer);
  p.partialState = static_cast<float2*>(partialState_->pointer);
  p.awaitedOutput = static_cast<float*>(awaitedRows_->pointer);
  p.awaitedState = reinterpret_cast<float2*>(p.awaitedOutput + int64_t(awaitedPlaces(h)) * kAwaitedRows * headDim);
  p.counters = static_cast<int32_t*>(counters_->pointer);
  p.progress = static_cast<uint32_t*>(progress_->pointer);
  p.leftUnits = reinterpret_cast<int32_t*>(p.progress + 1);
  p.leftParts = p.leftUnits + workers_;
  p.workerCount = workers_;
  p.pieceTrace = timed ? static_cast<TraceRecord*>(pieceTrace_->pointer) : nullptr;
  p.mergeTrace = timed ? static_cast<TraceRecord*>(mergeTrace_->pointer) : nullptr;
  p.pageStride = pageSize * heads * headDim * 2;
  p.tokenStride = int32_t((b.headMajor ? headDim : heads * headDim) * 2);
  p.headStride = int32_t((b.headMajor ? pageSize * headDim : headDim) * 2);
  p.queryHeads = h[header::queryHeads];
  p.packedHeads = h[header::packedHeads];
  p.packedHeadsReciprocal = uint32_t(std::min(UINT64_C(0xffffffff), (UINT64_C(1) << 32) / uint32_t(p.packedHeads)));
  p.groupSize = h[header::queryHeads] / h[header::kvHeads];
  p.pageSize = h[header::pageSize];
  p.pageShift = (p.pageSize & (p.pageSize - 1)) == 0 ? __builtin_ctz(uint32_t(p.pageSize)) : -1;
  p.pages = int32_t(b.pages);
  p.pairs = h[header::workers] / 2;
  p.slotRows = h[header::slotRows];
  p.historyIsReady = dependent && b.historyIsReady;
  p.causal = h[header::maskKind] != int(MaskKind::full);
  p.window = h[header::maskKind] == int(MaskKind::slidingWindow) ? h[header::window] : 0;
  constexpr float log2e = 1.4426950408889634f;
  const float scale = b.softmaxScale > 0.f ? b.softmaxScale : 1.f / std::sqrt(float(headDim));
  float softCap;
  std::memcpy(&softCap, &h[header::softCapBits], 4);
  p.scaleLog2 = scale * log2e;
  p.softCapLog2 = softCap * log2e;
  p.scaleOverSoftCap = softCap > 0.f ? 2.f * scale / softCap * log2e : 0.f;
  const int workers = workers_, dtype = h[header::dtype];
  if (canonical_) {
    const CanonicalParams c{p, static_cast<float*>(nodes_->pointer), h[header::mergeGridTokens], tall_ ? kTallSpilledRows : kSpilledRows};
    context->check(launchCanonical(int(headDim), dtype, tall_, timed, dependent, workers, c, context->stream),
                   "launching the attention kernel");
    return;
  }
  context->check(launchAttention(int(headDim), dtype, tall_, timed, dependent, workers, p, context->stream),
                 "launching the attention kernel");
}

void Session::prepareTrace(const int32_t* plan) {
  pieceTraceCount_ = plan[header::pieceCount];
  mergeTraceCount_ = plan[header::mergeCount];
  int64_t pieces = 0;
  for (int i = 0; i < plan[header::pieceRecordCount]; i++) pieces += PlanView{plan}.piece(i)[piece::headCount];
  if (pieces != pieceTraceCount_) throw PlanRejected({"header.pieceCount", -1, pieceTraceCount_, std::to_string(pieces)});
  const size_t pieceBytes = pieceTraceCount_ * sizeof(TraceRecord), mergeBytes = mergeTraceCount_ * sizeof(TraceRecord);
  if (pieceTrace_ == nullptr || pieceTrace_->bytes < pieceBytes) pieceTrace_ = context->allocate(pieceBytes);
  if (mergeTrace_ == nullptr || mergeTrace_->bytes < mergeBytes) mergeTrace_ = context->allocate(mergeBytes);
}

Trace Session::readTrace() {
  Trace trace;
  trace.pieces.resize(pieceTraceCount_);
  trace.merges.resize(mergeTraceCount_);
  context->check(cudaMemcpy(trace.pieces.data(), pieceTrace_->pointer, pieceTraceCount_ * sizeof(TraceRecord), cudaMemcpyDeviceToHost),
                 "reading a timeline");
  context->check(cudaMemcpy(trace.merges.data(), mergeTrace_->pointer, mergeTraceCount_ * sizeof(TraceRecord), cudaMemcpyDeviceToHost),
                 "reading a timeline");
  return trace;
}

std::shared_ptr<Graph> Graph::capture(std::shared_ptr<Session> session, std::vector<Binding> bindings, bool dependent) {
  Context& context = *session->context;
  context.requireUsable();
  context.makeCurrent();
  std::shared_ptr<Graph> graph(new Graph());
  graph->session = session;
  graph->limits_ = {INT64_MAX, INT64_MAX};
  for (Binding& binding : bindings) {
    session->requireBinding(binding);
    graph->limits_.pageTableLength = std::min(graph->limits_.pageTableLength, binding.pageTableLength);
    graph->limits_.queryTokens = std::min(graph->limits_.queryTokens, binding.queryTokens);
  }
  graph->bindings_ = std::move(bindings);
  context.check(cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
  cudaGraph_t recorded = nullptr;
  try {
    bool first = true;
    for (const Binding& binding : graph->bindings_) {
      session->launch(binding, dependent && !first, false);
      first = false;
    }
  } catch (...) {
    cudaStreamEndCapture(context.stream, &recorded);
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    throw;
  }
  context.check(cudaStreamEndCapture(context.stream, &recorded), "ending a capture");
  const cudaError_t error = cudaGraphInstantiate(&graph->exec_, recorded, 0);
  cudaGraphDestroy(recorded);
  context.check(error, "instantiating a graph");
  context.check(cudaGraphUpload(graph->exec_, context.stream), "uploading a graph");
  return graph;
}

Graph::~Graph() {
  if (exec_ == nullptr) return;
  session->context->enqueue([exec = exec_, keep = session, bindings = std::move(bindings_)] {
    cudaStreamSynchronize(keep->context->stream);
    cudaGraphExecDestroy(exec);
  });
}

void Graph::launch() {
  session->context->requireUsable();
  session->context->check(cudaGraphLaunch(exec_, session->context->stream), "launching a graph");
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
