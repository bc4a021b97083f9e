// Timed replays of recorded launches, for calibration and benchmarks.
#pragma once
#include <functional>
#include <vector>

#include "graph.h"

namespace isochron {

/** µs of each of `repetitions` calls of `launch`, between two events on the context's stream, after `warmUps` that do not count. */
std::vector<double> timeLaunches(std::shared_ptr<Context> context, int warmUps, int repetitions, const std::function<void()>& launch);

/** The same for a graph of what `record` queues on the stream that it is given. */
std::vector<double> timeRecorded(std::shared_ptr<Context> context, int warmUps, int repetitions,
                                 const std::function<void(cudaStream_t)>& record);

}  // namespace isochron
