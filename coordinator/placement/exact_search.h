#pragma once

// The exact part of the search, over all states.

#include <optional>
#include <vector>

#include "coordinator/placement/device_states.h"
#include "coordinator/placement/search.h"

namespace layercake {

// Whether some pipeline has no stage and no link above `period`. Of each state it keeps the *set*
// of prefixes that can be reached: times need not grow with the layers, so that the farthest
// prefix may lead nowhere where a shorter one does.
bool ReachesEnd(const SearchSpace& space, const DeviceStates& states, double period);

// The smallest period at which ReachesEnd, in [low, high]; kDoesNotFit if it does not at `high`.
// REQUIRES: none below `low` does.
double SmallestPeriod(const SearchSpace& space, const DeviceStates& states, double low,
                      double high);

// The stages of smallest sum less rewards with no stage and no link above `period`, of the fewest
// stages among equals. States that cannot lead to less than `upper` are cut. nullopt: none has
// less.
std::optional<std::vector<StageChoice>> SmallestSum(const SearchSpace& space,
                                                    const DeviceStates& states, double period,
                                                    double upper);

}  // namespace layercake
