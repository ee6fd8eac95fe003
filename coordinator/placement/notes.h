#pragma once

// What to know of a plan before relying on it or loading it.

#include "coordinator/placement/planner.h"
#include "coordinator/placement/problem.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Adds a sentence each for: more replicas that may be better, what workers cannot load, a batch
// asked for that KV does not hold, and speeds that were assumed.
//   checkpoint: the model with its weights as they are; fleet: what `problem` was made of.
void AddNotes(const PlanningProblem& problem, const ModelConfig& checkpoint, const Fleet& fleet,
              v1::Plan& plan);

}  // namespace layercake
