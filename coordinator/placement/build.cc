#include "coordinator/placement/build.h"

#include <algorithm>
#include <map>
#include <utility>

#include "coordinator/placement/exact_search.h"

namespace layercake {
namespace {

// Periods are approached to this share, in at most so many steps.
constexpr double kCloseEnough = 1e-3;
constexpr int kMaxApproaches = 12;

double Value(const SearchSpace& space, const Pipeline& pipeline) {
  return pipeline.sum - space.reward * static_cast<double>(pipeline.stages.size());
}

// The devices port by port, each time the port that is nearest; the ends stay.
std::vector<int> PortByPort(const LinkTimes& links, const std::vector<int>& devices) {
  if (devices.size() < 3) return devices;
  std::map<int, std::vector<int>> left;
  for (size_t i = 1; i + 1 < devices.size(); ++i)
    left[links.port(devices[i])].push_back(devices[i]);
  const int last_port = links.port(devices.back());
  std::vector<int> order = {devices.front()};
  int port = links.port(devices.front());
  while (!left.empty()) {
    auto next = left.find(port);
    if (next == left.end()) {
      const auto seconds = [&](int to) { return links.between_ports(port, to); };
      for (auto candidate = left.begin(); candidate != left.end(); ++candidate) {
        if (candidate->first == last_port && left.size() > 1) continue;
        if (next == left.end() || seconds(candidate->first) < seconds(next->first)) {
          next = candidate;
        }
      }
    }
    port = next->first;
    order.insert(order.end(), next->second.begin(), next->second.end());
    left.erase(next);
  }
  order.push_back(devices.back());
  return order;
}

// The orders of devices that are worth trying at a period.
std::vector<std::vector<int>> Orders(const SearchSpace& space, const Relaxation& relaxation,
                                     double period) {
  std::vector<std::vector<int>> orders;
  if (const auto placement = relaxation.LeastSum(period, space.reward); placement.has_value()) {
    orders.push_back(PortByPort(space.links, placement->devices));
  }
  if (const std::vector<int> most = relaxation.MostLayers(period); !most.empty()) {
    orders.push_back(PortByPort(space.links, most));
  }
  return orders;
}

std::optional<Pipeline> BestInOrder(const SearchSpace& space, const std::vector<int>& order,
                                    double period) {
  const SearchSpace ordered{space.times, space.links, order, /*in_order=*/true, space.reward};
  const DeviceStates states = *DeviceStates::Of(ordered, kMaxExactStates);
  auto stages = SmallestSum(ordered, states, period, kDoesNotFit);
  if (!stages.has_value()) return std::nullopt;
  return Measured(space, *std::move(stages));
}

double PeriodInOrder(const SearchSpace& space, const std::vector<int>& order, double low) {
  const SearchSpace ordered{space.times, space.links, order, /*in_order=*/true};
  return SmallestPeriod(ordered, *DeviceStates::Of(ordered, kMaxExactStates), low, kDoesNotFit);
}

}  // namespace

std::optional<Pipeline> BuildSmallSum(const SearchSpace& space, const Relaxation& relaxation,
                                      double period) {
  std::optional<Pipeline> best;
  for (const std::vector<int>& order : Orders(space, relaxation, period)) {
    std::optional<Pipeline> found = BestInOrder(space, order, period);
    if (!found.has_value()) continue;
    if (!best.has_value() || Value(space, *found) < Value(space, *best)) best = std::move(found);
  }
  return best;
}

std::optional<Pipeline> BuildSmallPeriod(const SearchSpace& space, const Relaxation& relaxation,
                                         double bound) {
  std::optional<Pipeline> best = BuildSmallSum(space, relaxation, bound);
  if (best.has_value()) return best;
  // What the relaxation promises cannot be had: the least that can lies above.
  for (const double period : {bound, kDoesNotFit}) {
    for (const std::vector<int>& order : Orders(space, relaxation, period)) {
      const double reached = PeriodInOrder(space, order, bound);
      if (reached == kDoesNotFit || (best.has_value() && reached >= best->period)) continue;
      best = BestInOrder(space, order, reached);
    }
  }
  if (!best.has_value()) return std::nullopt;
  double low = bound;
  for (int i = 0; i < kMaxApproaches && best->period > low * (1 + kCloseEnough); ++i) {
    const double middle = low + (best->period - low) / 2;
    std::optional<Pipeline> found = BuildSmallSum(space, relaxation, middle);
    if (found.has_value()) {
      best = std::move(found);
    } else {
      low = middle;
    }
  }
  return best;
}

}  // namespace layercake
