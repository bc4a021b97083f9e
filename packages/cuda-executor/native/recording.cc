#include "recording.h"

namespace isochron {

namespace {
struct OwnStream {
  cudaStream_t stream = nullptr;
  ~OwnStream() {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
};
struct OwnGraph {
  cudaGraph_t graph = nullptr;
  ~OwnGraph() {
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
};
}  // namespace

cudaGraphExec_t recordGraph(Context& context, const std::function<void(cudaStream_t)>& record) {
  OwnStream own;
  context.check(cudaStreamCreateWithFlags(&own.stream, cudaStreamNonBlocking), "creating a stream");
  context.check(cudaStreamBeginCapture(own.stream, cudaStreamCaptureModeThreadLocal), "beginning a capture");
  OwnGraph recorded;
  try {
    record(own.stream);
  } catch (...) {
    cudaStreamEndCapture(own.stream, &recorded.graph);
    throw;
  }
  context.check(cudaStreamEndCapture(own.stream, &recorded.graph), "ending a capture");
  cudaGraphExec_t exec = nullptr;
  context.check(cudaGraphInstantiate(&exec, recorded.graph, 0), "instantiating a graph");
  return exec;
}

}  // namespace isochron
