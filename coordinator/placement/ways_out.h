#pragma once

// What would make a model fit that does not.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "coordinator/placement/problem.h"

namespace layercake {

// Beyond this many devices the search for the one that is short would take too long to be worth it.
inline constexpr size_t kMaxDevicesToProbe = 16;

// The least bytes up to `most`, to a grain of 1 MiB, that are `enough`; `most` if no less are.
int64_t LeastEnough(int64_t most, absl::FunctionRef<bool(int64_t)> enough);

// Single changes of what was asked, each of which was tried and gives a plan, in words.
//   checkpoint: the model with its weights as they are; fleet: what `problem` was made of.
// REQUIRES: !Feasible(problem).
std::vector<std::string> WaysOut(const PlanningProblem& problem, const ModelConfig& checkpoint,
                                 const Fleet& fleet);

}  // namespace layercake
