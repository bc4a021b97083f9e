// Captured launches, and the ways to replay them: with a promise, waiting here, without an answer, or timed again and again.
// Each uploads its plan first, and says so where all staging slots are in flight.
#include "../replays.h"
#include "arguments.h"
#include "functions.h"
#include "promises.h"

namespace isochron {

namespace {

/** capture(session, bindings, dependent) */
Napi::Value capture(const Napi::CallbackInfo& info) {
  const auto list = info[1].As<Napi::Array>();
  std::vector<Binding> bindings;
  for (uint32_t i = 0; i < list.Length(); i++) bindings.push_back(bindingOf(list.Get(i)));
  if (bindings.empty()) throw std::invalid_argument("a graph needs at least one binding");
  return wrap<Graph>(info.Env(), Graph::capture(unwrap<Session>(info[0], "session"), std::move(bindings), info[2].ToBoolean()));
}

/** replay(graph, plan): resolves to µs once the replay is done. Null where all staging slots are in flight. */
Napi::Value replay(const Napi::CallbackInfo& info) {
  auto graph = unwrap<Graph>(info[0], "graph");
  const PlanBytes plan = planOf(info[1]);
  if (!graph->upload(plan.words, plan.length)) return info.Env().Null();
  auto watch = std::make_shared<Stopwatch>(graph->session->context);
  watch->start();
  graph->launch();
  watch->stop();
  return promiseDuration(info.Env(), graph->session->context, watch, graph);
}

/** replayAndWait(graph, plan): as replay, but waits here and returns µs. Null where all staging slots are in flight. */
Napi::Value replayAndWait(const Napi::CallbackInfo& info) {
  const auto& graph = unwrap<Graph>(info[0], "graph");
  const PlanBytes plan = planOf(info[1]);
  if (!graph->upload(plan.words, plan.length)) return info.Env().Null();
  Stopwatch watch(graph->session->context);
  watch.start();
  graph->launch();
  watch.stop();
  return Napi::Number::New(info.Env(), watch.waitUs());
}

/** queue(graph, plan): as replay, without a completion to wait for. False where all staging slots are in flight. */
Napi::Value queue(const Napi::CallbackInfo& info) {
  const auto& graph = unwrap<Graph>(info[0], "graph");
  const PlanBytes plan = planOf(info[1]);
  const bool isUploaded = graph->upload(plan.words, plan.length);
  if (isUploaded) graph->launch();
  return Napi::Boolean::New(info.Env(), isUploaded);
}

/**
 * time(graph, plan, warmUps, repetitions): uploads once, then times each replay by events; resolves to µs of each. Null
 * where all staging slots are in flight.
 */
Napi::Value time(const Napi::CallbackInfo& info) {
  auto graph = unwrap<Graph>(info[0], "graph");
  const PlanBytes plan = planOf(info[1]);
  const int warmUps = int32Of(info[2]), repetitions = int32Of(info[3]);
  if (!graph->upload(plan.words, plan.length)) return info.Env().Null();
  return runAsync(info.Env(), graph->session->context, [graph, warmUps, repetitions]() -> Finish {
    return durations(timeLaunches(graph->session->context, warmUps, repetitions, [&graph] { graph->launch(); }));
  });
}

}  // namespace

Functions graphFunctions() {
  return {
      {"capture", capture},
      {"releaseGraph", release<Graph>},
      {"replay", replay},
      {"replayAndWait", replayAndWait},
      {"queue", queue},
      {"time", time},
  };
}

}  // namespace isochron
