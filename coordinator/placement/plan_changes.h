#pragma once

// What would change if one plan took another's place, for people to decide by.

#include <string>

#include "layercake/v1/types.pb.h"

namespace layercake {

// Moves in the order of `proposed`, then those whom it leaves out; the gain is always there.
//   command: what to type to have the proposed plan.
// REQUIRES: both are of one model.
v1::PlanChanges ComparePlans(const v1::Plan& in_force, const v1::Plan& proposed,
                             const std::string& command);

// Layers move, or there is other room; predictions alone are no change.
bool AnyChange(const v1::PlanChanges& changes);

// As text of at most `width` columns.
std::string FormatPlanChanges(const v1::PlanChanges& changes, int width);

}  // namespace layercake
