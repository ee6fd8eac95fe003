#pragma once

// The sentences of a plan: why these layers here, and why not that device.

#include <string>

#include "coordinator/placement/predict.h"
#include "coordinator/placement/problem.h"

namespace layercake {

// Why stage `index` of `pipeline` is what it is.
//   best: no other plan is better for the objective, and this one has no other pipeline.
std::string StageReason(const PlanningProblem& problem, const Pipeline& pipeline, size_t index,
                        const Prediction& prediction, bool best);

// Why the device of that index, usable but unused, got nothing.
std::string LeftOutReason(const PlanningProblem& problem, const Pipeline& pipeline, int device,
                          const Prediction& prediction, bool best);

}  // namespace layercake
