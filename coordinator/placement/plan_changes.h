#pragma once

// What would change if one plan took another's place, for people to decide by.

#include <string>
#include <vector>

#include "layercake/v1/types.pb.h"

namespace layercake {

struct PlanChanges {
  // A sentence for each worker whose layers differ, in the order of `proposed`, then for those that
  // it leaves out. Empty: every layer stays where it is.
  std::vector<std::string> moves;
  // A sentence for room that differs: context, KV blocks of all replicas, batch, replicas.
  std::vector<std::string> room;
  // What is predicted of each plan, and the gain; always there.
  std::string gain;

  bool any() const { return !moves.empty() || !room.empty(); }
};

// REQUIRES: both are of one model.
PlanChanges ComparePlans(const v1::Plan& in_force, const v1::Plan& proposed);

// As text of at most `width` columns. `command`: what to type to have the proposed plan.
std::string FormatPlanChanges(const PlanChanges& changes, const std::string& command, int width);

}  // namespace layercake
