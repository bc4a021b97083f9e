// Recording launches as a graph.
#pragma once
#include <functional>

#include "context.h"

namespace isochron {

/**
 * The graph of what `record` queues on the stream that it is given. That is one of its own: on the context's, other threads wait, copy
 * and free meanwhile, which would end the recording or become a part of it. The caller destroys the graph.
 */
cudaGraphExec_t recordGraph(Context& context, const std::function<void(cudaStream_t)>& record);

}  // namespace isochron
