#pragma once

// The search for the best pipeline over tables of stage and link times.
//
// Up to kMaxExactStates states it is exact: dynamic programming over (set of devices used, last of
// them, layers placed), where interchangeable devices count as one kind, with bounds that cut most
// of it. Beyond, a pipeline is built from a relaxation and what it could at most be better by is
// certified. A given order of devices is the same search over fewer states, and always exact.

#include <optional>
#include <vector>

#include "coordinator/placement/stage_times.h"

namespace layercake {

struct StageChoice {
  int device;
  int first;
  int count;
};

struct Pipeline {
  std::vector<StageChoice> stages;  // in pipeline order; together all layers, each device once
  double period = 0;                // seconds of the slowest stage or link between two stages
  double sum = 0;                   // of all stages and links
  // No pipeline is better than this in what was asked to be smallest.
  double bound = 0;

  // Seconds from step to step with as many steps in flight as there are stages: the period, or
  // more where stages wait for links.
  double cycle() const;
};

struct SearchSpace {
  const StageTimes& times;
  const LinkTimes& links;
  std::vector<int> devices;  // that may be used, any of them may be left out
  bool in_order = false;     // only in the order given
  double reward = 0;         // taken off the sum for each stage, not off the period
};

// Fourteen devices, each of its own kind, or as many as are as few kinds.
inline constexpr int kMaxExactStates = 14 << 14;

// The pipeline with the smallest period; among those, with the smallest sum; among equals (to
// rounding), of the fewest stages. nullopt: none has a period of at most `period_allowed`.
std::optional<Pipeline> MinimisePeriod(const SearchSpace& space,
                                       double period_allowed = kDoesNotFit);

// The pipeline with the smallest cycle; among those whose cycle is their period, as MinimisePeriod.
// nullopt: none has a cycle of at most `cycle_allowed`.
std::optional<Pipeline> MinimiseCycle(const SearchSpace& space, double cycle_allowed = kDoesNotFit);

// The pipeline with the smallest sum less rewards, of a period of at most `period_allowed`; among
// equals (to rounding), of the fewest stages. nullopt: none has at most `sum_allowed`.
std::optional<Pipeline> MinimiseSum(const SearchSpace& space, double period_allowed = kDoesNotFit,
                                    double sum_allowed = kDoesNotFit);

// No pipeline has a smaller period; found in a fraction of the time. kDoesNotFit: there is none.
double PeriodBound(const SearchSpace& space);

// As quickly: no pipeline has a smaller cycle.
double CycleBound(const SearchSpace& space);

// As quickly: false where no pipeline is possible at all.
bool MayFit(const SearchSpace& space);

// Whether any pipeline is possible at all, where a stage that fits fits with fewer layers too.
bool AnyPipeline(const SearchSpace& space);

// `stages` with their period and sum by the tables.
Pipeline Measured(const SearchSpace& space, std::vector<StageChoice> stages);

}  // namespace layercake
