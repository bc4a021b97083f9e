#include "graph.h"

#include <algorithm>

#include "recording.h"

namespace isochron {

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
  graph->exec_ = recordGraph(context, [&](cudaStream_t stream) {
    bool first = true;
    for (const Binding& binding : graph->bindings_) {
      session->launch(binding, dependent && !first, false, stream);
      first = false;
    }
  });
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

}  // namespace isochron
