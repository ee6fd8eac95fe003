#pragma once

// Which layers go where: the policies, over the search.

#include <optional>

#include "absl/status/statusor.h"
#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/fastest.h"
#include "coordinator/placement/search.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// The pipelines that policy, objective and replicas ask for, each with room for at least one
// sequence of the whole context. nullopt: none was found. REQUIRES: the policy is not manual.
std::optional<Arrangement> Arrange(const CostModel& cost, const DeviceSelection& selection,
                                   const v1::PlanOptions& options);

// The pipeline that options.manual describes, in layer order; memory is not looked at.
// Errors: InvalidArgument (unknown or excluded worker, layers given twice or not at all).
absl::StatusOr<Pipeline> ManualPipeline(const CostModel& cost, const DeviceSelection& selection,
                                        const v1::PlanOptions& options);

}  // namespace layercake
