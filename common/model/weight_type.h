#pragma once

// In what form a model's weights are held on its devices.

#include <string>

#include "common/model/config.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Quantization::method of what workers make of unquantized weights.
inline constexpr char kOurGroups[] = "groups";

// "f32", "bf16", "f16", "int8", "int4"; "as it is" for the checkpoint's own form.
std::string WeightTypeName(v1::WeightType type);

// How `model`'s matrices are held: a checkpoint's own quantization is WEIGHT_TYPE_UNSPECIFIED.
v1::WeightType WeightTypeOf(const ModelConfig& model);

// `model` with weights held as `type`. int8 and int4 are groups of 128 inputs with an f16 scale,
// int4 with a zero point of 4 bits too; embedding, norms, routers and head stay 16 bits wide.
// REQUIRES: type is not WEIGHT_TYPE_AUTO.
ModelConfig WithWeightType(const ModelConfig& model, v1::WeightType type);

// Whether workers can make of `checkpoint`'s weights what `type` says: any form of weights that are
// not quantized yet. Errors: Unimplemented (says what can be done).
absl::Status CheckMakeable(const ModelConfig& checkpoint, v1::WeightType type);

}  // namespace layercake
