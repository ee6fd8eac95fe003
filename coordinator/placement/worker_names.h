#pragma once

// Workers by the names of their GPUs.

#include "absl/status/statusor.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// `options` with GPU UUIDs, or beginnings of them such as "GPU-3f", replaced by the name of the
// worker on that GPU, in --order, --exclude, --max-memory and --layers. What is no UUID here stays.
// Errors: InvalidArgument (a beginning that several workers' GPUs have, a worker capped under two
// names).
absl::StatusOr<v1::PlanOptions> WithWorkerNames(const Fleet& fleet, const v1::PlanOptions& options);

}  // namespace layercake
