#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "coordinator/placement/planner.h"
#include "coordinator/simulate/simulation.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Between the coordinator and workers or clients, where nothing was measured: a message over a
// stream that is open, within a host.
inline constexpr double kControlLatencySeconds = 100e-6;

// The replicas of `plan`, to be simulated: stage times by the cost model from the profiles in
// `fleet`, hops by its links.
//   max_queue: sequences that may wait, of each replica.
// Errors: InvalidArgument (the plan is not of this model, names a worker that is not in
// `fleet`, or has no room).
absl::StatusOr<std::vector<SimulatedPipeline>> PipelinesOf(const v1::Plan& plan,
                                                           const ModelConfig& model,
                                                           const Fleet& fleet, int max_queue);

}  // namespace layercake
