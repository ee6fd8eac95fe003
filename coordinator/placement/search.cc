#include "coordinator/placement/search.h"

#include <algorithm>
#include <cstdint>

namespace layercake {
namespace {

// Two sums of the same times in another order may differ by rounding.
constexpr double kRounding = 1e-12;

struct Max {
  double operator()(double a, double b) const { return std::max(a, b); }
};
struct Sum {
  double operator()(double a, double b) const { return a + b; }
};

// How the best way to a state was reached.
struct Step {
  int16_t device = -1;
  int16_t count = 0;
};

Pipeline Measured(const StageTimes& times, std::vector<StageChoice> stages) {
  Pipeline pipeline{.stages = std::move(stages)};
  for (const StageChoice& stage : pipeline.stages) {
    const double seconds = times.at(stage.device, stage.first, stage.count);
    pipeline.slowest = std::max(pipeline.slowest, seconds);
    pipeline.sum += seconds;
  }
  return pipeline;
}

// Dynamic programming over (set of devices used, layers placed): what a prefix of the pipeline
// costs does not depend on the order in which the set was used, so the best of each state is
// enough.
template <typename Combine>
class SubsetSearch {
 public:
  SubsetSearch(const StageTimes& times, double allowed)
      : times_(times),
        allowed_(allowed),
        width_(times.num_layers() + 1),
        best_((size_t{1} << times.num_devices()) * width_, kDoesNotFit),
        steps_(best_.size()) {}

  std::optional<Pipeline> Run() {
    best_[0] = 0;
    const uint32_t num_sets = uint32_t{1} << times_.num_devices();
    for (uint32_t set = 0; set < num_sets; ++set) {
      for (int device = 0; device < times_.num_devices(); ++device) {
        if ((set >> device & 1) == 0) Extend(set, device);
      }
    }
    const std::optional<uint32_t> set = BestCompleteSet(num_sets);
    if (!set.has_value()) return std::nullopt;
    return Measured(times_, TraceBack(*set));
  }

 private:
  void Extend(uint32_t set, int device) {
    const int num_layers = times_.num_layers();
    const size_t from = static_cast<size_t>(set) * width_;
    const size_t to = (static_cast<size_t>(set) | size_t{1} << device) * width_;
    for (int first = 0; first < num_layers; ++first) {
      const double before = best_[from + first];
      if (before == kDoesNotFit) continue;
      for (int count = 1; first + count <= num_layers; ++count) {
        const double seconds = times_.at(device, first, count);
        if (seconds == kDoesNotFit || seconds > allowed_) continue;
        const double after = Combine()(before, seconds);
        if (after >= best_[to + first + count]) continue;
        best_[to + first + count] = after;
        steps_[to + first + count] = {static_cast<int16_t>(device), static_cast<int16_t>(count)};
      }
    }
  }

  std::optional<uint32_t> BestCompleteSet(uint32_t num_sets) const {
    std::optional<uint32_t> best;
    for (uint32_t set = 0; set < num_sets; ++set) {
      const double value = best_[static_cast<size_t>(set) * width_ + times_.num_layers()];
      if (value == kDoesNotFit) continue;
      if (best.has_value()) {
        const double least = best_[static_cast<size_t>(*best) * width_ + times_.num_layers()];
        const bool fewer = __builtin_popcount(set) < __builtin_popcount(*best);
        if (value >= least * (1 - kRounding) && !(fewer && value <= least * (1 + kRounding))) {
          continue;
        }
      }
      best = set;
    }
    return best;
  }

  std::vector<StageChoice> TraceBack(uint32_t set) const {
    std::vector<StageChoice> stages;
    for (int end = times_.num_layers(); end > 0;) {
      const Step step = steps_[static_cast<size_t>(set) * width_ + end];
      end -= step.count;
      stages.push_back({.device = step.device, .first = end, .count = step.count});
      set &= ~(uint32_t{1} << step.device);
    }
    std::reverse(stages.begin(), stages.end());
    return stages;
  }

  const StageTimes& times_;
  const double allowed_;
  const size_t width_;
  std::vector<double> best_;
  std::vector<Step> steps_;
};

// The same over (devices of `order` decided, layers placed), each device used or left out.
template <typename Combine>
std::optional<Pipeline> SearchOrder(const StageTimes& times, double allowed,
                                    const std::vector<int>& order) {
  const int num_layers = times.num_layers();
  const size_t width = num_layers + 1;
  std::vector<double> best((order.size() + 1) * width, kDoesNotFit);
  std::vector<Step> steps(best.size());
  best[0] = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const double* before = &best[i * width];
    double* after = &best[(i + 1) * width];
    std::copy(before, before + width, after);
    for (int first = 0; first < num_layers; ++first) {
      if (before[first] == kDoesNotFit) continue;
      for (int count = 1; first + count <= num_layers; ++count) {
        const double seconds = times.at(order[i], first, count);
        if (seconds == kDoesNotFit || seconds > allowed) continue;
        const double value = Combine()(before[first], seconds);
        if (value >= after[first + count]) continue;
        after[first + count] = value;
        steps[(i + 1) * width + first + count] = {static_cast<int16_t>(order[i]),
                                                  static_cast<int16_t>(count)};
      }
    }
  }
  if (best[order.size() * width + num_layers] == kDoesNotFit) return std::nullopt;
  std::vector<StageChoice> stages;
  int end = num_layers;
  for (size_t i = order.size(); i > 0; --i) {
    const Step step = steps[i * width + end];
    if (step.count == 0) continue;
    end -= step.count;
    stages.push_back({.device = step.device, .first = end, .count = step.count});
  }
  std::reverse(stages.begin(), stages.end());
  return Measured(times, std::move(stages));
}

bool Better(double value, size_t num_stages, double than, size_t than_stages) {
  if (value < than * (1 - kRounding)) return true;
  return value <= than * (1 + kRounding) && num_stages < than_stages;
}

template <typename Combine>
std::optional<Pipeline> Search(const StageTimes& times, const DeviceOrders& orders, double allowed,
                               double Pipeline::*value) {
  if (orders.every) return SubsetSearch<Combine>(times, allowed).Run();
  std::optional<Pipeline> best;
  for (const std::vector<int>& order : orders.listed) {
    std::optional<Pipeline> found = SearchOrder<Combine>(times, allowed, order);
    if (!found.has_value()) continue;
    if (!best.has_value() ||
        Better((*found).*value, found->stages.size(), (*best).*value, best->stages.size())) {
      best = std::move(found);
    }
  }
  return best;
}

}  // namespace

std::optional<Pipeline> MinimiseSlowest(const StageTimes& times, const DeviceOrders& orders) {
  const std::optional<Pipeline> fastest =
      Search<Max>(times, orders, kDoesNotFit, &Pipeline::slowest);
  if (!fastest.has_value()) return std::nullopt;
  // A prefix with the smallest slowest stage need not be part of the smallest sum, so the sum gets
  // a search of its own under the bound just found.
  return MinimiseSum(times, orders, fastest->slowest);
}

std::optional<Pipeline> MinimiseSum(const StageTimes& times, const DeviceOrders& orders,
                                    double slowest_allowed) {
  return Search<Sum>(times, orders, slowest_allowed, &Pipeline::sum);
}

}  // namespace layercake
