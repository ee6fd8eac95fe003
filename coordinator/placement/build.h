#pragma once

// Builds good pipelines from what relaxations advise: incumbents for the exact search, and the
// answer where there are too many devices for it.

#include <optional>

#include "coordinator/placement/relaxation.h"
#include "coordinator/placement/search.h"

namespace layercake {

// A pipeline of small sum less rewards with a period of at most `period`. nullopt: none was found.
std::optional<Pipeline> BuildSmallSum(const SearchSpace& space, const Relaxation& relaxation,
                                      double period);

// A pipeline of small period, `bound` at best, and among those it came by of a small sum.
// nullopt: none was found.
std::optional<Pipeline> BuildSmallPeriod(const SearchSpace& space, const Relaxation& relaxation,
                                         double bound);

}  // namespace layercake
