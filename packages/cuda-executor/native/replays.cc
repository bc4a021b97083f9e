#include "replays.h"

namespace isochron {

std::vector<double> timeLaunches(std::shared_ptr<Context> context, int warmUps, int repetitions, const std::function<void()>& launch) {
  Stopwatch watch(context);
  std::vector<double> us;
  for (int i = 0; i < warmUps + repetitions; i++) {
    watch.start();
    launch();
    watch.stop();
    const double t = watch.waitUs();
    if (i >= warmUps) us.push_back(t);
  }
  return us;
}

namespace {
struct RecordedGraph {
  cudaGraphExec_t exec = nullptr;
  ~RecordedGraph() {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
  }
};
}  // namespace

std::vector<double> timeRecorded(std::shared_ptr<Context> context, int warmUps, int repetitions, const std::function<void()>& record) {
  cudaGraph_t recorded = nullptr;
  context->check(cudaStreamBeginCapture(context->stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
  try {
    record();
  } catch (...) {
    cudaStreamEndCapture(context->stream, &recorded);
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    throw;
  }
  context->check(cudaStreamEndCapture(context->stream, &recorded), "ending a capture");
  RecordedGraph graph;
  const cudaError_t error = cudaGraphInstantiate(&graph.exec, recorded, 0);
  cudaGraphDestroy(recorded);
  context->check(error, "instantiating a graph");
  return timeLaunches(context, warmUps, repetitions,
                      [&] { context->check(cudaGraphLaunch(graph.exec, context->stream), "launching a graph"); });
}

}  // namespace isochron
