#include "replays.h"

#include "recording.h"

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
  cudaGraphExec_t exec;
  ~RecordedGraph() { cudaGraphExecDestroy(exec); }
};
}  // namespace

std::vector<double> timeRecorded(std::shared_ptr<Context> context, int warmUps, int repetitions,
                                 const std::function<void(cudaStream_t)>& record) {
  const RecordedGraph graph{recordGraph(*context, record)};
  return timeLaunches(context, warmUps, repetitions,
                      [&] { context->check(cudaGraphLaunch(graph.exec, context->stream), "launching a graph"); });
}

}  // namespace isochron
