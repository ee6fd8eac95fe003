#pragma once

// In what form weights are held, and which form is the most precise that fits.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/config.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// "f32", "bf16", "f16", "int8", "int4"; "as it is" for the checkpoint's own form.
std::string WeightTypeName(v1::WeightType type);

// How `model`'s matrices are held: a checkpoint's own quantization is WEIGHT_TYPE_UNSPECIFIED.
v1::WeightType WeightTypeOf(const ModelConfig& model);

// `model` with weights held as `type`. int8 and int4 are groups of 128 inputs with an f16 scale,
// int4 with a zero point of 4 bits too; embedding, norms, routers and head stay 16 bits wide.
// REQUIRES: type is not WEIGHT_TYPE_AUTO.
ModelConfig WithWeightType(const ModelConfig& model, v1::WeightType type);

// The plan with the most precise weights that fit, and in weight_proposals what each form from the
// checkpoint's own downwards would need. To fit is to have room for the context asked for, or with
// --context auto for 4,096 tokens (the model's own if that is shorter); where none has, for any.
// Errors: as MakePlan's for the least precise form.
absl::StatusOr<v1::Plan> PlanWithBestWeights(const ModelConfig& model, const Fleet& fleet,
                                             const v1::PlanOptions& options,
                                             absl::string_view model_name);

// Whether workers can hold `checkpoint`'s weights as a plan says: yet they make no other form.
// Errors: Unimplemented (says what can be done).
absl::Status CheckMakeable(const ModelConfig& checkpoint, v1::WeightType type);

}  // namespace layercake
