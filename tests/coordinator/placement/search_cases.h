#pragma once

// Random small searches and their answers by trying every pipeline.

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/search.h"

namespace layercake {

struct SearchCase {
  StageTimes times;
  LinkTimes links;
  std::vector<int> devices;
  bool in_order = false;

  SearchSpace space() const { return {times, links, devices, in_order}; }
};

class CaseMaker {
 public:
  explicit CaseMaker(uint32_t seed) : random_(seed) {}

  // Small whole numbers, so that equal times are common and sums are exact. Layers differ, ends are
  // heavy, links differ by direction, some stages do not fit, some tables follow no rule at all.
  SearchCase Make(int most_devices, int most_layers) {
    const int num_devices = Draw(1, most_devices);
    const int num_layers = Draw(1, most_layers);
    // Some devices alike in every way.
    const int num_kinds = Draw(1, num_devices);
    std::vector<int> kind(num_devices);
    for (int& k : kind) k = Draw(0, num_kinds - 1);
    SearchCase made{.times = Times(kind, num_kinds, num_layers), .links = Links(kind)};
    made.devices.resize(num_devices);
    std::iota(made.devices.begin(), made.devices.end(), 0);
    std::shuffle(made.devices.begin(), made.devices.end(), random_);
    made.in_order = Draw(0, 3) == 0;
    return made;
  }

  int Draw(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

 private:
  StageTimes Times(const std::vector<int>& kind, int num_kinds, int num_layers) {
    StageTimes times(kind, num_kinds, num_layers);
    const int chance_of_no_fit = Draw(0, 60);
    const bool any_shape = Draw(0, 1) == 1;
    std::vector<int> weights(num_layers);
    for (int& weight : weights) weight = Draw(0, 9);
    weights.front() += Draw(0, 9);
    weights.back() += Draw(0, 20);
    for (int row = 0; row < num_kinds; ++row) {
      const int overhead = Draw(0, 3);
      const int slowness = Draw(1, 3);
      for (int first = 0; first < num_layers; ++first) {
        for (int count = 1; first + count <= num_layers; ++count) {
          if (any_shape && Draw(0, 99) < chance_of_no_fit) continue;
          const int work =
              std::accumulate(weights.begin() + first, weights.begin() + first + count, 0);
          times.set(row, first, count, any_shape ? Draw(0, 20) : overhead + slowness * work);
          if (row == 0 && !any_shape) times.set_need(first, count, work);
        }
      }
    }
    if (!any_shape) {
      const int roomy = Draw(0, 1) * 200;
      for (size_t device = 0; device < kind.size(); ++device) {
        times.set_room(static_cast<int>(device), roomy + Draw(0, 6) * 10);
      }
    }
    return times;
  }

  LinkTimes Links(const std::vector<int>& kind) {
    const int num_devices = static_cast<int>(kind.size());
    if (Draw(0, 3) == 0) return LinkTimes(num_devices);
    const int num_ports = Draw(1, num_devices);
    const int slowest = Draw(0, 1) == 0 ? 3 : 25;
    std::vector<int> ports(num_devices);
    for (int& port : ports) port = Draw(0, num_ports - 1);
    std::vector<double> seconds(static_cast<size_t>(num_ports) * num_ports);
    for (double& link : seconds) link = Draw(0, slowest);
    return LinkTimes(std::move(ports), std::move(seconds));
  }

  std::mt19937 random_;
};

struct Best {
  bool found = false;
  double period = 0;
  double sum_of_period = 0;     // smallest sum among the pipelines of the smallest period
  size_t stages_of_period = 0;  // fewest among those
  double sum = 0;
  size_t stages_of_sum = 0;
  double cycle = 0;  // smallest max(period, sum / stages)
};

// Every way to cut the layers over every choice and (unless in_order) every order of devices.
inline Best BruteForce(const SearchCase& c, double period_allowed = kDoesNotFit) {
  Best best;
  const int num_layers = c.times.num_layers();
  std::vector<bool> used(c.devices.size(), false);
  const std::function<void(int, int, int, double, double)> place =
      [&](int before, int first, int stages, double period, double sum) {
        if (first == num_layers) {
          const auto num_stages = static_cast<size_t>(stages);
          if (!best.found || std::tie(period, sum, num_stages) <
                                 std::tie(best.period, best.sum_of_period, best.stages_of_period)) {
            best.period = period;
            best.sum_of_period = sum;
            best.stages_of_period = num_stages;
          }
          if (!best.found || std::tie(sum, num_stages) < std::tie(best.sum, best.stages_of_sum)) {
            best.sum = sum;
            best.stages_of_sum = num_stages;
          }
          const double cycle = std::max(period, sum / stages);
          if (!best.found || cycle < best.cycle) best.cycle = cycle;
          best.found = true;
          return;
        }
        for (int i = c.in_order ? before + 1 : 0; i < static_cast<int>(c.devices.size()); ++i) {
          if (used[i]) continue;
          const double link = before < 0 ? 0 : c.links.at(c.devices[before], c.devices[i]);
          if (link > period_allowed) continue;
          used[i] = true;
          for (int count = 1; first + count <= num_layers; ++count) {
            const double seconds = c.times.at(c.devices[i], first, count);
            if (seconds > period_allowed || seconds == kDoesNotFit) continue;
            place(i, first + count, stages + 1, std::max({period, seconds, link}),
                  sum + seconds + link);
          }
          used[i] = false;
        }
      };
  place(-1, 0, 0, 0, 0);
  return best;
}

// What is wrong with `pipeline` as such; "" if nothing is: all layers in order, each device of the
// case once and in its order if that is given, every stage fits, period and sum as claimed.
inline std::string FaultOf(const SearchCase& c, const Pipeline& pipeline) {
  int next = 0;
  size_t rank = 0;
  double period = 0;
  double sum = 0;
  std::vector<bool> used(c.devices.size(), false);
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    const StageChoice& stage = pipeline.stages[i];
    const size_t at =
        std::find(c.devices.begin(), c.devices.end(), stage.device) - c.devices.begin();
    if (at == c.devices.size() || used[at]) return "a device is none of the case's, or used twice";
    if (c.in_order && i > 0 && at < rank) return "the order is not kept";
    if (stage.first != next || stage.count < 1) return "layers are left out or given twice";
    const double seconds = c.times.at(stage.device, stage.first, stage.count);
    if (seconds == kDoesNotFit) return "a stage does not fit";
    const double link = i == 0 ? 0 : c.links.at(pipeline.stages[i - 1].device, stage.device);
    period = std::max({period, seconds, link});
    sum += seconds + link;
    used[at] = true;
    rank = at;
    next += stage.count;
  }
  if (next != c.times.num_layers()) return "layers are missing";
  if (period != pipeline.period) return absl::StrCat("its period is ", period);
  if (sum != pipeline.sum) return absl::StrCat("its sum is ", sum);
  return "";
}

// How the exact searches differ from trying everything; "" if they do not.
inline std::string Mismatch(const SearchCase& c) {
  const Best best = BruteForce(c);
  const std::optional<Pipeline> period = MinimisePeriod(c.space());
  const std::optional<Pipeline> sum = MinimiseSum(c.space());
  const std::optional<Pipeline> cycle = MinimiseCycle(c.space());
  if (period.has_value() != best.found || sum.has_value() != best.found ||
      cycle.has_value() != best.found) {
    return absl::StrCat("a pipeline is ", best.found ? "missed" : "made up");
  }
  if (!best.found) return "";
  for (const Pipeline& pipeline : {*period, *sum, *cycle}) {
    if (const std::string fault = FaultOf(c, pipeline); !fault.empty()) return fault;
  }
  if (period->period != best.period || period->sum != best.sum_of_period ||
      period->stages.size() != best.stages_of_period || period->bound != best.period) {
    return absl::StrCat("period ", period->period, " sum ", period->sum, " stages ",
                        period->stages.size(), ", not ", best.period, ", ", best.sum_of_period,
                        ", ", best.stages_of_period);
  }
  if (sum->sum != best.sum || sum->stages.size() != best.stages_of_sum || sum->bound != best.sum) {
    return absl::StrCat("sum ", sum->sum, " stages ", sum->stages.size(), ", not ", best.sum, ", ",
                        best.stages_of_sum);
  }
  if (cycle->cycle() != best.cycle || cycle->bound != best.cycle) {
    return absl::StrCat("cycle ", cycle->cycle(), " bound ", cycle->bound, ", not ", best.cycle);
  }
  return "";
}

}  // namespace layercake
