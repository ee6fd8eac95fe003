#pragma once

// The sentences of a plan: why these layers here, and why not that device.

#include <string>

#include "coordinator/placement/predict.h"
#include "coordinator/placement/problem.h"

namespace layercake {

// Why stage `index` of `pipeline` is what it is.
std::string StageReason(const PlanningProblem& problem, const Pipeline& pipeline, size_t index,
                        const Prediction& prediction);

// Why the device of that index, usable but unused, got nothing.
std::string LeftOutReason(const PlanningProblem& problem, const Pipeline& pipeline, int device,
                          const Prediction& prediction);

}  // namespace layercake
