// Plans without a GPU: the layout as C++ sees it, for a test to compare with layout.ts, and the check before an upload.
#include "../plan_image.h"
#include "../plan_view.h"
#include "arguments.h"
#include "functions.h"

namespace isochron {

namespace {

Napi::Value layoutTable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object table = Napi::Object::New(env);
#define ISOCHRON_SET(name, value) section.Set(#name, value);
#define ISOCHRON_TABLE(key, FIELDS)                                                                                    \
  {                                                                                                                    \
    Napi::Object section = Napi::Object::New(env);                                                                     \
    FIELDS(ISOCHRON_SET) table.Set(key, section);                                                                      \
  }
  ISOCHRON_TABLE("Header", ISOCHRON_HEADER_FIELDS)
  ISOCHRON_TABLE("Request", ISOCHRON_REQUEST_FIELDS)
  ISOCHRON_TABLE("Piece", ISOCHRON_PIECE_FIELDS)
  ISOCHRON_TABLE("Merge", ISOCHRON_MERGE_FIELDS)
  ISOCHRON_TABLE("GroupRange", ISOCHRON_GROUP_RANGE_FIELDS)
  ISOCHRON_TABLE("MergeSource", ISOCHRON_MERGE_SOURCE_FIELDS)
#undef ISOCHRON_TABLE
#undef ISOCHRON_SET
  table.Set("magic", kPlanMagic);
  table.Set("version", kPlanVersion);
  table.Set("headerBytes", kHeaderBytes);
  return table;
}

/** checkPlan(plan, pageTableLength, queryTokens): bytes of the image, which is built as for an upload. Throws PlanRejected. */
Napi::Value check(const Napi::CallbackInfo& info) {
  const PlanBytes plan = planOf(info[0]);
  const PlanLimits limits{int64Of(info[1]), int64Of(info[2])};
  PlanCheckScratch scratch;
  PlanFault fault;
  if (!checkPlan(plan.words, plan.length, limits, scratch, fault)) throw PlanRejected(fault);
  const ImageLayout layout = imageLayout(plan.words);
  std::vector<uint8_t> image(layout.total);
  ImageScratch imageScratch;
  return Napi::Number::New(info.Env(), double(buildImage(PlanView{plan.words}, layout, true, 0, imageScratch, image.data()).bytes));
}

}  // namespace

Functions planFunctions() { return {{"layoutTable", layoutTable}, {"checkPlan", check}}; }

}  // namespace isochron
