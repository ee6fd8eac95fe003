#pragma once

// In what form stages hand activations on.

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Errors: InvalidArgument (a type that this version does not know).
absl::StatusOr<DType> ActivationDType(v1::ActivationType type);

v1::ActivationType ActivationTypeOf(DType dtype);

}  // namespace layercake
