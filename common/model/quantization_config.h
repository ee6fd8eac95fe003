#pragma once

// How a checkpoint is quantized, as config.json has it. For this room's sources only.

#include <optional>

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "common/model/json_object.h"

namespace layercake {

// Reads quantization_config, also from where compressed-tensors nests it; nullopt without one.
// Errors: DataLoss; Unimplemented (an unknown method or a variant of one: names it).
absl::StatusOr<std::optional<Quantization>> ReadQuantization(FieldReader& fields);

// Whether a worker computes with matrices like these. Errors: Unimplemented (says what it reads).
absl::Status CheckQuantizationRunnable(const Quantization& quantization);

}  // namespace layercake
