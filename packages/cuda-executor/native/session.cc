#include "session.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace isochron {

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
  const int64_t awaitedElements = int64_t(awaitedPlaces(h)) * kAwaitedRows * h[header::headDim];
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
  const bool alone = workersPerCta_ == 1;
  const ImageUse use = buildImage(PlanView{plan}, layout_, alone, alone ? 0 : header_[header::workers] / 2, imageScratch_, slot.staging);
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

void Session::launch(const Binding& b, bool dependent, bool timed, cudaStream_t stream) {
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
    context->check(launchCanonical(int(headDim), dtype, tall_, timed, dependent, workers, c, stream),
                   "launching the attention kernel");
    return;
  }
  context->check(launchAttention(int(headDim), dtype, tall_, timed, dependent, workers, p, stream),
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

}  // namespace isochron
