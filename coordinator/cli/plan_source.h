#pragma once

// Where a plan comes from: a running cluster, or devices described. The same flags for every
// subcommand that begins with a plan.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "coordinator/cli/command.h"
#include "coordinator/placement/planner.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

struct PlanSource {
  std::string model;  // empty: the one that is loaded
  std::string cluster = "live";
  std::vector<std::string> devices;
  v1::PlanOptions options;
  std::vector<std::string> given_options;  // the flags that filled `options`

  bool live() const { return devices.empty() && cluster == "live"; }
};

// Adds the model, --cluster, --device and the plan flags. They fill `*source`, which must outlive
// parsing.
void AddPlanSource(CLI::App& app, PlanSource* source);

// A plan over workers that have joined.
struct LivePlan {
  v1::ClusterStatus status;
  v1::Plan plan;          // of source.model; the one in force where none was named
  bool in_force = false;  // `plan` is the one in force
};
// Errors: the coordinator's; FailedPrecondition (no model is named and none is loaded).
absl::StatusOr<LivePlan> PlanLive(const CommonFlags& common, const PlanSource& source);

// What the coordinator would plan now for the model in force, with the options it was loaded by.
// Errors: the coordinator's.
absl::StatusOr<v1::Plan> PlanAnew(const CommonFlags& common, const v1::ClusterStatus& status);

// A plan with all that it was made from, so that more can be computed of it here.
struct PlannedModel {
  ModelConfig model;
  Fleet fleet;
  v1::Plan plan;
};
// Errors: as PlanLive or the planner's; NotFound (the model's config is not on this host).
absl::StatusOr<PlannedModel> PlanWithModel(const CommonFlags& common, const PlanSource& source);

}  // namespace layercake
