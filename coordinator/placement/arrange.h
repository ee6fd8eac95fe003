#pragma once

// Which layers go where: the policies, over the search.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// KV blocks that a device can hold beside the weights and workspace of a stage; -1 when it cannot
// even hold those.
int64_t BlocksThatFit(const CostModel& cost, const UsableDevice& device, int first, int count);

// Whether some pipeline has room for `blocks` KV blocks on every stage.
bool Fits(const CostModel& cost, const DeviceSelection& selection, int64_t blocks);

// The pipeline that policy and objective ask for, with room for at least one sequence of the whole
// context. nullopt: none has. REQUIRES: the policy is not manual.
std::optional<Pipeline> Arrange(const CostModel& cost, const DeviceSelection& selection,
                                const v1::PlanOptions& options);

// The pipeline that options.manual describes, in layer order; memory is not looked at.
// Errors: InvalidArgument (unknown or excluded worker, layers given twice or not at all).
absl::StatusOr<Pipeline> ManualPipeline(const CostModel& cost, const DeviceSelection& selection,
                                        const v1::PlanOptions& options);

// KV blocks for the whole pipeline: what its tightest stage holds, but no more than every stage's
// full batch of sequences can use. -1 when a stage does not hold its weights.
int64_t ChooseBlocks(const CostModel& cost, const std::vector<UsableDevice>& devices,
                     const Pipeline& pipeline);

// What a pipeline with `blocks` KV blocks will do, every stage kept busy as far as they allow.
struct Prediction {
  int64_t step_sequences = 1;       // per step
  int64_t sequences_in_flight = 1;  // of all steps: as many as there are stages, if blocks allow
  double tokens_per_second = 0;
  double token_seconds = 0;  // one sequence alone
};
Prediction Predict(const CostModel& cost, const std::vector<UsableDevice>& devices,
                   const Pipeline& pipeline, int64_t blocks);

}  // namespace layercake
