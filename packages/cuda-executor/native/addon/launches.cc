// Sessions and their eager launches, plain or instrumented.
#include <algorithm>

#include "arguments.h"
#include "functions.h"
#include "promises.h"

namespace isochron {

namespace {

/** createSession(context, plan): for all plans of this one's shape and capacities. */
Napi::Value createSession(const Napi::CallbackInfo& info) {
  const PlanBytes plan = planOf(info[1]);
  return wrap<Session>(info.Env(), Session::create(unwrap<Context>(info[0], "context"), plan.words, plan.length));
}

Napi::Value sessionInfo(const Napi::CallbackInfo& info) {
  const auto& session = unwrap<Session>(info[0], "session");
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("workspaceBytes", double(session->workspaceBytes));
  object.Set("uploadedBytes", double(session->lastImageBytes));
  return object;
}

/** Eight numbers for each record: start and end in µs after `zeroNs`, SM, worker, four counts of cycles. */
Napi::Value traceRows(Napi::Env env, const std::vector<TraceRecord>& records, uint64_t zeroNs) {
  Napi::Float64Array array = Napi::Float64Array::New(env, records.size() * 8);
  for (size_t i = 0; i < records.size(); i++) {
    double* row = array.Data() + i * 8;
    row[0] = double(records[i].startNs - zeroNs) / 1000.0;
    row[1] = double(records[i].endNs - zeroNs) / 1000.0;
    row[2] = records[i].sm;
    row[3] = records[i].worker;
    for (int k = 0; k < 4; k++) row[4 + k] = records[i].cycles[k];
  }
  return array;
}

/** { durationUs, pieces, merges }, in µs after the first piece's start. */
Finish tracedLaunch(double durationUs, Trace trace) {
  return [durationUs, trace = std::move(trace)](Napi::Env env) -> Napi::Value {
    uint64_t zeroNs = UINT64_MAX;
    for (const TraceRecord& r : trace.pieces) zeroNs = std::min(zeroNs, r.startNs);
    Napi::Object object = Napi::Object::New(env);
    object.Set("durationUs", durationUs);
    object.Set("pieces", traceRows(env, trace.pieces, zeroNs));
    object.Set("merges", traceRows(env, trace.merges, zeroNs));
    return object;
  };
}

enum class Instruments { none, trace };

/**
 * launch(session, plan, binding): runs one plan, resolves to µs; trace(session, plan, binding): the same with the times of
 * its pieces and merges. Null where all staging slots are in flight.
 */
template <Instruments kInstruments>
Napi::Value launch(const Napi::CallbackInfo& info) {
  constexpr bool isTraced = kInstruments == Instruments::trace;
  auto session = unwrap<Session>(info[0], "session");
  const PlanBytes plan = planOf(info[1]);
  auto binding = std::make_shared<Binding>(bindingOf(info[2]));
  session->requireBinding(*binding);
  if (!session->upload(plan.words, plan.length, {binding->pageTableLength, binding->queryTokens})) return info.Env().Null();
  if (isTraced) session->prepareTrace(plan.words);
  auto watch = std::make_shared<Stopwatch>(session->context);
  watch->start();
  session->launch(*binding, false, isTraced, session->context->stream);
  watch->stop();
  if (!isTraced) return promiseDuration(info.Env(), session->context, watch, session, binding);
  return runAsync(info.Env(), session->context, [watch, session, binding]() -> Finish {
    const double us = watch->waitUs();
    return tracedLaunch(us, session->readTrace());
  });
}

}  // namespace

Functions launchFunctions() {
  return {
      {"createSession", createSession},
      {"releaseSession", release<Session>},
      {"sessionInfo", sessionInfo},
      {"launch", launch<Instruments::none>},
      {"trace", launch<Instruments::trace>},
  };
}

}  // namespace isochron
