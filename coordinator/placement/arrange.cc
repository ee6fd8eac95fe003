#include "coordinator/placement/arrange.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "common/base/logging.h"
#include "coordinator/placement/fastest.h"
#include "coordinator/placement/memory.h"

namespace layercake {
namespace {

using StageCost = std::function<double(int device, int count)>;

// The pipeline in order with the smallest sum of `cost_of` that has room for the context.
std::optional<Arrangement> Cheapest(const CostModel& cost, const DeviceSelection& selection,
                                    const StageCost& cost_of) {
  const int num_layers = cost.num_layers();
  StageTimes costs(static_cast<int>(selection.devices.size()), num_layers);
  for (int device = 0; device < costs.num_devices(); ++device) {
    for (int first = 0; first < num_layers; ++first) {
      for (int count = 1; first + count <= num_layers; ++count) {
        costs.set(device, first, count, cost_of(device, count));
      }
    }
  }
  LimitToRoom(cost, selection, cost.context_blocks(), costs);
  std::vector<int> devices(selection.devices.size());
  std::iota(devices.begin(), devices.end(), 0);
  const LinkTimes links(costs.num_devices());
  std::optional<Pipeline> found = MinimiseSum({costs, links, devices, selection.in_order});
  if (!found.has_value()) return std::nullopt;
  return Arrangement{.replicas = {*std::move(found)}};
}

// The cut nearest to `targets` layers per device in squares, as far as memory allows.
std::optional<Arrangement> NearestTo(const std::vector<double>& targets, const CostModel& cost,
                                     const DeviceSelection& selection) {
  const double largest = *std::max_element(targets.begin(), targets.end());
  // (count - target)^2, shifted by what all devices' targets and all layers add up to whatever the
  // cut, so that a device left out costs nothing. The last term makes equals favour early devices:
  // the last one has the head to bear.
  return Cheapest(cost, selection, [&](int device, int count) {
    return count * (count + 2 * (largest - targets[device]) + 1e-6 * device);
  });
}

std::optional<Arrangement> FillInOrder(const CostModel& cost, const DeviceSelection& selection) {
  return Cheapest(cost, selection,
                  [](int device, int count) { return static_cast<double>(count) * device; });
}

std::optional<Arrangement> InShares(const CostModel& cost, const DeviceSelection& selection) {
  double total = 0;
  for (const UsableDevice& device : selection.devices) total += device.share;
  std::vector<double> targets;
  for (const UsableDevice& device : selection.devices) {
    targets.push_back(total > 0 ? cost.num_layers() * device.share / total : 0);
  }
  return NearestTo(targets, cost, selection);
}

}  // namespace

std::optional<Arrangement> Arrange(const CostModel& cost, const DeviceSelection& selection,
                                   const v1::PlanOptions& options) {
  switch (options.policy()) {
    case v1::PlanOptions::POLICY_BALANCED:
      return NearestTo(std::vector<double>(selection.devices.size(),
                                           static_cast<double>(cost.num_layers()) /
                                               static_cast<double>(selection.devices.size())),
                       cost, selection);
    case v1::PlanOptions::POLICY_SEQUENTIAL:
      return FillInOrder(cost, selection);
    case v1::PlanOptions::POLICY_PROPORTIONAL:
      return InShares(cost, selection);
    default:
      CHECK_NE(options.policy(), v1::PlanOptions::POLICY_MANUAL);
      return options.objective() == v1::PlanOptions::OBJECTIVE_LATENCY
                 ? ForLatency(cost, selection)
                 : ForThroughput(cost, selection, options.replicas());
  }
}

}  // namespace layercake
