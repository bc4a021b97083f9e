// All plans of one attention shape and one set of capacities: checked, made into an image, uploaded through a ring of slots, launched.
#pragma once
#include <memory>
#include <stdexcept>
#include <vector>

#include "context.h"
#include "kernels/attention.h"
#include "kernels/invariant.h"
#include "plan_image.h"
#include "plan_view.h"

namespace isochron {

/** A plan that must not be run. */
struct PlanRejected : std::runtime_error {
  explicit PlanRejected(PlanFault fault) : std::runtime_error(fault.field), fault(std::move(fault)) {}
  PlanFault fault;
};

/** What is asked of a kernel that does not exist. */
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
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
  /** Queues one launch of the plan that was uploaded last, on the context's stream or on one that is recorded. */
  void launch(const Binding& binding, bool dependent, bool timed, cudaStream_t stream);
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

}  // namespace isochron
