#include "coordinator/placement/search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "coordinator/placement/build.h"
#include "coordinator/placement/device_states.h"
#include "coordinator/placement/exact_search.h"
#include "coordinator/placement/relaxation.h"

namespace layercake {
namespace {

// Sums of the same times in another order differ by rounding.
constexpr double kRounding = 1e-12;
// Each makes the cycle smaller, by a lot at first.
constexpr int kMaxRounds = 50;

double Value(const SearchSpace& space, const Pipeline& pipeline) {
  return pipeline.sum - space.reward * static_cast<double>(pipeline.stages.size());
}

bool Exceeds(double value, double allowed) {
  return value > allowed + std::abs(allowed) * kRounding;
}

double Below(double seconds) { return std::nextafter(seconds, 0); }

// No pipeline has a smaller cycle than this, by relaxation alone; `cycle` is that of one.
double RelaxedCycle(const SearchSpace& space, double period_bound, double cycle) {
  const Relaxation relaxation(space);
  double bound = cycle;
  for (int round = 0; round < kMaxRounds; ++round) {
    const auto relaxed = relaxation.LeastSum(Below(bound), bound);
    if (!relaxed.has_value() || relaxed->sum >= -kRounding * bound) break;
    const double below =
        std::max(period_bound, bound + relaxed->sum / static_cast<double>(relaxed->devices.size()));
    if (below >= bound) break;
    bound = below;
  }
  return bound;
}

}  // namespace

double Pipeline::cycle() const {
  return std::max(period, sum / static_cast<double>(stages.size()));
}

std::optional<Pipeline> MinimisePeriod(const SearchSpace& space, double period_allowed) {
  const Relaxation relaxation(space);
  const double bound = relaxation.PeriodBound();
  if (bound > period_allowed || bound == kDoesNotFit) return std::nullopt;
  const std::optional<DeviceStates> states = DeviceStates::Of(space, kMaxExactStates);
  std::optional<Pipeline> built;
  if (!space.in_order) built = BuildSmallPeriod(space, relaxation, bound);
  if (!states.has_value()) {
    if (!built.has_value() || built->period > period_allowed) return std::nullopt;
    built->bound = bound;
    return built;
  }
  double period = bound;
  if (!built.has_value() || built->period > bound) {
    const double upto = std::min(built.has_value() ? built->period : kDoesNotFit, period_allowed);
    period = SmallestPeriod(space, *states, bound, upto);
  }
  if (period == kDoesNotFit) return std::nullopt;
  if (built.has_value() && built->period > period) {
    built = BuildSmallSum(space, relaxation, period);
  }
  const double upper = built.has_value() ? Value(space, *built) : kDoesNotFit;
  Pipeline best = Measured(space, *SmallestSum(space, *states, period, upper));
  best.bound = best.period;
  return best;
}

std::optional<Pipeline> MinimiseSum(const SearchSpace& space, double period_allowed,
                                    double sum_allowed) {
  const std::optional<DeviceStates> states = DeviceStates::Of(space, kMaxExactStates);
  std::optional<Pipeline> best;
  double bound = -kDoesNotFit;
  if (!space.in_order) {
    const Relaxation relaxation(space);
    const std::optional<RelaxedPlacement> relaxed =
        relaxation.LeastSum(period_allowed, space.reward);
    if (!relaxed.has_value() || Exceeds(relaxed->sum, sum_allowed)) return std::nullopt;
    bound = relaxed->sum;
    best = BuildSmallSum(space, relaxation, period_allowed);
  }
  if (states.has_value()) {
    const double upper =
        std::min(best.has_value() ? Value(space, *best) : kDoesNotFit, sum_allowed);
    auto stages = SmallestSum(space, *states, period_allowed, upper);
    if (!stages.has_value()) return std::nullopt;
    best = Measured(space, *std::move(stages));
    bound = Value(space, *best);
  }
  if (!best.has_value() || Exceeds(Value(space, *best), sum_allowed)) return std::nullopt;
  best->bound = bound;
  return best;
}

std::optional<Pipeline> MinimiseCycle(const SearchSpace& space, double cycle_allowed) {
  std::optional<Pipeline> best = MinimisePeriod(space, cycle_allowed);
  if (!best.has_value()) return std::nullopt;
  // A smaller cycle than `cycle` is a pipeline whose stages and links take less than `cycle` for
  // each stage: a ratio, made smaller until no such pipeline is left (Dinkelbach 1967).
  const double period_bound = best->bound;
  bool exact = true;
  for (int round = 0; round < kMaxRounds && Exceeds(best->cycle(), period_bound); ++round) {
    SearchSpace rewarded = space;
    rewarded.reward = best->cycle();
    std::optional<Pipeline> found = MinimiseSum(rewarded, Below(best->cycle()));
    exact = found.has_value() && found->bound == Value(rewarded, *found);
    if (!found.has_value() || !Exceeds(best->cycle(), found->cycle())) break;
    best = std::move(found);
  }
  if (Exceeds(best->cycle(), cycle_allowed)) return std::nullopt;
  best->bound = exact ? best->cycle() : RelaxedCycle(space, period_bound, best->cycle());
  best->bound = Exceeds(best->cycle(), period_bound) ? best->bound : period_bound;
  return best;
}

double PeriodBound(const SearchSpace& space) { return Relaxation(space).PeriodBound(); }

double CycleBound(const SearchSpace& space) { return Relaxation(space).CycleBound(); }

bool MayFit(const SearchSpace& space) { return Relaxation(space).Holds(kDoesNotFit); }

bool AnyPipeline(const SearchSpace& space) {
  const std::optional<DeviceStates> states = DeviceStates::Of(space, kMaxExactStates);
  if (space.in_order) return ReachesEnd(space, *states, kDoesNotFit);
  const Relaxation relaxation(space);
  if (!relaxation.Holds(kDoesNotFit)) return false;
  if (BuildSmallSum(space, relaxation, kDoesNotFit).has_value()) return true;
  return states.has_value() && ReachesEnd(space, *states, kDoesNotFit);
}

Pipeline Measured(const SearchSpace& space, std::vector<StageChoice> stages) {
  Pipeline pipeline{.stages = std::move(stages)};
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    const StageChoice& stage = pipeline.stages[i];
    const double seconds = space.times.at(stage.device, stage.first, stage.count);
    const double link = i == 0 ? 0 : space.links.at(pipeline.stages[i - 1].device, stage.device);
    pipeline.period = std::max({pipeline.period, seconds, link});
    pipeline.sum += seconds;
    pipeline.sum += link;
  }
  return pipeline;
}

}  // namespace layercake
