#pragma once

// Which form of weights is the most precise that fits.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/weight_type.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Forms that take less than `model`'s own, the most precise first; equally wide ones are not told
// apart.
std::vector<v1::WeightType> LessPreciseWeights(const ModelConfig& model);

// "bf16", "int4", "gptq of 4 bits": how `model`'s matrices are held.
std::string WeightForm(const ModelConfig& model);

// The plan with the most precise weights that fit, and in weight_proposals what each form from the
// checkpoint's own downwards would need. To fit is to have room for the context asked for, or with
// --context auto for 4,096 tokens (the model's own if that is shorter); where none has, for any.
// Errors: as MakePlan's for the least precise form; a refusal says what each form would need.
absl::StatusOr<v1::Plan> PlanWithBestWeights(const ModelConfig& model, const Fleet& fleet,
                                             const v1::PlanOptions& options,
                                             absl::string_view model_name);

}  // namespace layercake
