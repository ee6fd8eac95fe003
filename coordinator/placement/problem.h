#pragma once

// A placement problem, put together so that verdicts can ask "and if this one thing were
// different?".

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/placement/arrange.h"
#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

struct PlanningProblem {
  ModelConfig model;
  std::string model_name;
  v1::PlanOptions options;
  DeviceSelection selection;
  StageLimits limits;

  CostModel cost() const { return CostModel(model, limits); }
  bool manual() const { return options.policy() == v1::PlanOptions::POLICY_MANUAL; }
  bool context_is_auto() const { return options.context_tokens() == 0; }
};

// Checks options, selects devices, and sets limits with the whole context asked for (the model's
// own if none is). Errors: as MakePlan's InvalidArgument and FailedPrecondition.
absl::StatusOr<PlanningProblem> MakeProblem(const ModelConfig& model, const Fleet& fleet,
                                            const v1::PlanOptions& options,
                                            absl::string_view model_name);

// Whether a plan exists for exactly problem.limits. REQUIRES: a manual assignment is valid.
bool Feasible(const PlanningProblem& problem);

// The largest context up to problem.limits' that is feasible, a multiple of the block size unless
// it is the whole; 0 if none is.
int64_t LargestFeasibleContext(const PlanningProblem& problem);

// The largest context up to the model's own for which a plan exists. REQUIRES: Feasible(problem).
int64_t LargestContext(const PlanningProblem& problem);

// Why `problem` has no plan, by how many bytes, and which single changes would give it one.
//   checkpoint: the model with its weights as they are; fleet: what `problem` was made of.
// REQUIRES: !Feasible(problem). Returns ResourceExhausted with a PlanRefusal (refusal.h).
absl::Status DoesNotFit(const PlanningProblem& problem, const ModelConfig& checkpoint,
                        const Fleet& fleet);

}  // namespace layercake
