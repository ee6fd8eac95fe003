#pragma once

// Positions, as config.json has them. For this room's sources only.

#include "absl/status/status.h"
#include "common/model/config.h"
#include "common/model/json_object.h"

namespace layercake {

// Reads rope_theta and rope_scaling or rope_parameters into `config`, whose max_context_tokens is
// set. Errors: DataLoss; Unimplemented (a rope type or partial rotation that is not computed).
absl::Status ReadRope(FieldReader& fields, ModelConfig& config);

// Sliding windows are not computed; one that no sequence can outgrow does not matter.
// Errors: DataLoss; Unimplemented (a window that binds).
absl::Status CheckSlidingWindow(FieldReader& fields, const ModelConfig& config);

}  // namespace layercake
