#pragma once

// Why no plan was made, for people and for programs.

#include <optional>

#include "absl/status/status.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// `refusal` in words, and itself as a detail of the status. Returns ResourceExhausted.
absl::Status ToStatus(const v1::PlanRefusal& refusal);

// The refusal among the details of `status`; nullopt: there is none.
std::optional<v1::PlanRefusal> RefusalOf(const absl::Status& status);

}  // namespace layercake
