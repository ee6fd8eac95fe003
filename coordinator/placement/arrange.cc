#include "coordinator/placement/arrange.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

// Times equal to this much are the same: none is predicted that well.
constexpr double kSameTime = 1e-9;

using StageCost = std::function<double(const UsableDevice&, int device, int first, int count)>;

// A table of `cost_of` wherever the stage fits with room for `blocks`.
StageTimes Tabulate(const CostModel& cost, const std::vector<UsableDevice>& devices, int64_t blocks,
                    const StageCost& cost_of) {
  const int num_layers = cost.num_layers();
  StageTimes times(static_cast<int>(devices.size()), num_layers);
  for (int device = 0; device < times.num_devices(); ++device) {
    for (int first = 0; first < num_layers; ++first) {
      for (int count = 1; first + count <= num_layers; ++count) {
        if (BlocksThatFit(cost, devices[device], first, count) < blocks) continue;
        times.set(device, first, count, cost_of(devices[device], device, first, count));
      }
    }
  }
  return times;
}

StageTimes DecodeTimes(const CostModel& cost, const std::vector<UsableDevice>& devices,
                       int64_t blocks, int64_t sequences) {
  return Tabulate(cost, devices, blocks,
                  [&](const UsableDevice& device, int, int first, int count) {
                    return cost.DecodeSeconds(device.speed, first, count, sequences);
                  });
}

double Rate(const CostModel& cost, const DeviceSelection& selection, const Pipeline& pipeline) {
  const int64_t blocks = ChooseBlocks(cost, selection.devices, pipeline);
  return Predict(cost, selection.devices, pipeline, blocks).tokens_per_second;
}

// Of the pipelines as fast as `fastest`, the one with the most KV blocks.
Pipeline WithMostBlocks(const CostModel& cost, const DeviceSelection& selection, int64_t sequences,
                        double slowest_allowed, Pipeline fastest) {
  const int64_t stages = static_cast<int64_t>(fastest.stages.size());
  int64_t low = ChooseBlocks(cost, selection.devices, fastest);
  int64_t high = std::max(low, stages * cost.limits().max_batch_sequences * cost.context_blocks());
  while (low < high) {
    const int64_t blocks = low + (high - low + 1) / 2;
    std::optional<Pipeline> found = MinimiseSum(
        DecodeTimes(cost, selection.devices, blocks, sequences), selection.orders, slowest_allowed);
    if (found.has_value() && found->sum <= fastest.sum * (1 + kSameTime) &&
        found->stages.size() <= fastest.stages.size() &&
        Rate(cost, selection, *found) >= Rate(cost, selection, fastest) * (1 - kSameTime)) {
      fastest = *std::move(found);
      low = blocks;
    } else {
      high = blocks - 1;
    }
  }
  return fastest;
}

// KV room slows a plan down where it pushes layers to slow devices, and too little of it leaves the
// batch half empty: so the fastest cut is found with room for many sequences, for half as many, and
// so on, and the one that is predicted to generate most wins.
std::optional<Pipeline> ForThroughput(const CostModel& cost, const DeviceSelection& selection) {
  const int64_t batch = cost.limits().max_batch_sequences;
  const auto fastest_with = [&](int64_t blocks, int64_t sequences) {
    return MinimiseSlowest(DecodeTimes(cost, selection.devices, blocks, sequences),
                           selection.orders);
  };
  const std::optional<Pipeline> unhindered = fastest_with(cost.context_blocks(), batch);
  if (!unhindered.has_value()) return std::nullopt;
  const double highest_rate = static_cast<double>(batch) / unhindered->slowest;

  struct Candidate {
    Pipeline pipeline;
    double rate = 0;
    int64_t sequences = 0;
  };
  Candidate best;
  const int64_t most_stages = std::min<int64_t>(selection.devices.size(), 8);
  for (int64_t room = batch * most_stages; room >= 1; room /= 2) {
    const int64_t blocks = std::max(cost.context_blocks(), room * cost.sequence_blocks());
    const int64_t sequences = std::min(room, batch);
    std::optional<Pipeline> found = fastest_with(blocks, sequences);
    if (!found.has_value()) continue;
    const double rate = Rate(cost, selection, *found);
    if (rate <= best.rate * (1 + kSameTime)) continue;
    best = {.pipeline = *std::move(found), .rate = rate, .sequences = sequences};
    if (rate >= highest_rate * (1 - kSameTime)) break;
  }
  CHECK_GT(best.rate, 0);
  const double slowest = best.pipeline.slowest;
  return WithMostBlocks(cost, selection, best.sequences, slowest, std::move(best.pipeline));
}

std::optional<Pipeline> ForLatency(const CostModel& cost, const DeviceSelection& selection) {
  std::optional<Pipeline> found =
      MinimiseSum(DecodeTimes(cost, selection.devices, cost.context_blocks(), 1), selection.orders);
  if (!found.has_value()) return std::nullopt;
  return WithMostBlocks(cost, selection, 1, kDoesNotFit, *std::move(found));
}

// The cut nearest to `targets` layers per device in squares, as far as memory allows.
std::optional<Pipeline> NearestTo(const std::vector<double>& targets, const CostModel& cost,
                                  const DeviceSelection& selection) {
  const double largest = *std::max_element(targets.begin(), targets.end());
  // (count - target)^2, shifted by what all devices' targets and all layers add up to whatever the
  // cut, so that a device left out costs nothing. The last term makes equals favour early devices:
  // the last one has the head to bear.
  const StageCost off_target = [&](const UsableDevice&, int device, int, int count) {
    return count * (count + 2 * (largest - targets[device]) + 1e-6 * device);
  };
  return MinimiseSum(Tabulate(cost, selection.devices, cost.context_blocks(), off_target),
                     selection.orders);
}

std::optional<Pipeline> FillInOrder(const CostModel& cost, const DeviceSelection& selection) {
  const StageCost lateness = [](const UsableDevice&, int device, int, int count) {
    return static_cast<double>(count) * device;
  };
  return MinimiseSum(Tabulate(cost, selection.devices, cost.context_blocks(), lateness),
                     selection.orders);
}

std::optional<Pipeline> InShares(const CostModel& cost, const DeviceSelection& selection) {
  double total = 0;
  for (const UsableDevice& device : selection.devices) total += device.share;
  std::vector<double> targets;
  for (const UsableDevice& device : selection.devices) {
    targets.push_back(total > 0 ? cost.num_layers() * device.share / total : 0);
  }
  return NearestTo(targets, cost, selection);
}

// Farthest layer reached by stages before the last, for a device that starts at `first`.
int Farthest(const CostModel& cost, const UsableDevice& device, int first, int64_t blocks) {
  // The last layer is left for the stage with the head, and a stage that fits fits with less.
  int low = 0;
  int high = cost.num_layers() - 1 - first;
  while (low < high) {
    const int count = low + (high - low + 1) / 2;
    if (BlocksThatFit(cost, device, first, count) >= blocks) {
      low = count;
    } else {
      high = count - 1;
    }
  }
  return first + low;
}

bool CanFinish(const CostModel& cost, const UsableDevice& device, int first, int64_t blocks) {
  return BlocksThatFit(cost, device, first, cost.num_layers() - first) >= blocks;
}

bool FitsInOrder(const CostModel& cost, const std::vector<UsableDevice>& devices,
                 const std::vector<int>& order, int64_t blocks) {
  int reached = 0;
  for (const int device : order) {
    if (CanFinish(cost, devices[device], reached, blocks)) return true;
    reached = Farthest(cost, devices[device], reached, blocks);
  }
  return false;
}

bool FitsInAnyOrder(const CostModel& cost, const std::vector<UsableDevice>& devices,
                    int64_t blocks) {
  const uint32_t num_sets = uint32_t{1} << devices.size();
  std::vector<int> reached(num_sets, 0);
  for (uint32_t set = 0; set < num_sets; ++set) {
    for (size_t device = 0; device < devices.size(); ++device) {
      if ((set >> device & 1) != 0) continue;
      if (CanFinish(cost, devices[device], reached[set], blocks)) return true;
      int& next = reached[set | uint32_t{1} << device];
      next = std::max(next, Farthest(cost, devices[device], reached[set], blocks));
    }
  }
  return false;
}

std::string LayerNames(int64_t first, int64_t end) {
  return first + 1 == end ? absl::StrCat("layer ", first)
                          : absl::StrCat("layers ", first, "-", end - 1);
}

absl::StatusOr<int> DeviceOf(const v1::PlanOptions::LayerRange& range,
                             const std::vector<UsableDevice>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].name == range.worker()) return static_cast<int>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--layers names \"", range.worker(), "\", which is no worker here or excluded"));
}

}  // namespace

int64_t BlocksThatFit(const CostModel& cost, const UsableDevice& device, int first, int count) {
  const int64_t left =
      device.usable_bytes() - cost.WeightBytes(first, count) - cost.WorkspaceBytes(first, count);
  return left < 0 ? -1 : left / cost.BlockBytes(first, count);
}

bool Fits(const CostModel& cost, const DeviceSelection& selection, int64_t blocks) {
  if (selection.orders.every) return FitsInAnyOrder(cost, selection.devices, blocks);
  return std::any_of(selection.orders.listed.begin(), selection.orders.listed.end(),
                     [&](const std::vector<int>& order) {
                       return FitsInOrder(cost, selection.devices, order, blocks);
                     });
}

std::optional<Pipeline> Arrange(const CostModel& cost, const DeviceSelection& selection,
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
                 : ForThroughput(cost, selection);
  }
}

absl::StatusOr<Pipeline> ManualPipeline(const CostModel& cost, const DeviceSelection& selection,
                                        const v1::PlanOptions& options) {
  std::vector<v1::PlanOptions::LayerRange> ranges(options.manual().begin(), options.manual().end());
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const auto& a, const auto& b) { return a.first_layer() < b.first_layer(); });
  const int num_layers = cost.num_layers();
  Pipeline pipeline;
  int64_t next = 0;
  std::vector<bool> used(selection.devices.size(), false);
  for (const auto& range : ranges) {
    LC_ASSIGN_OR_RETURN(const int device, DeviceOf(range, selection.devices));
    const int64_t first = range.first_layer();
    const int64_t end = first + range.num_layers();
    if (first < 0 || range.num_layers() < 1 || end > num_layers) {
      return absl::InvalidArgumentError(
          absl::StrCat("--layers gives ", range.worker(), " ", LayerNames(first, end),
                       ", but the model has layers 0-", num_layers - 1));
    }
    if (used[device]) {
      return absl::InvalidArgumentError(absl::StrCat("--layers names ", range.worker(),
                                                     " twice; a worker has one run of layers"));
    }
    if (first < next) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--layers gives ", LayerNames(first, std::min(next, end)), " to two workers"));
    }
    if (first > next) {
      return absl::InvalidArgumentError(
          absl::StrCat("--layers gives ", LayerNames(next, first), " to no worker"));
    }
    used[device] = true;
    pipeline.stages.push_back(
        {.device = device, .first = static_cast<int>(first), .count = range.num_layers()});
    next = end;
  }
  if (next == num_layers) return pipeline;
  return absl::InvalidArgumentError(
      absl::StrCat("--layers gives ", LayerNames(next, num_layers), " to no worker"));
}

int64_t ChooseBlocks(const CostModel& cost, const std::vector<UsableDevice>& devices,
                     const Pipeline& pipeline) {
  const int64_t in_flight =
      static_cast<int64_t>(pipeline.stages.size()) * cost.limits().max_batch_sequences;
  const int64_t enough = std::max(cost.context_blocks(), in_flight * cost.sequence_blocks());
  int64_t blocks =
      std::min<int64_t>(in_flight * cost.context_blocks(), std::numeric_limits<int32_t>::max());
  for (const StageChoice& stage : pipeline.stages) {
    const UsableDevice& device = devices[stage.device];
    const int64_t fit = BlocksThatFit(cost, device, stage.first, stage.count);
    blocks = std::min(blocks, device.may_fill ? fit : std::min(fit, enough));
  }
  return blocks;
}

Prediction Predict(const CostModel& cost, const std::vector<UsableDevice>& devices,
                   const Pipeline& pipeline, int64_t blocks) {
  const int64_t stages = static_cast<int64_t>(pipeline.stages.size());
  const int64_t sequences = std::max<int64_t>(1, blocks / cost.sequence_blocks());
  const int64_t steps_in_flight = std::min(stages, sequences);
  Prediction prediction;
  prediction.step_sequences =
      std::clamp<int64_t>(sequences / stages, 1, cost.limits().max_batch_sequences);
  prediction.sequences_in_flight = prediction.step_sequences * steps_in_flight;
  double slowest = 0;
  double sum = 0;
  for (const StageChoice& stage : pipeline.stages) {
    const DeviceSpeed& speed = devices[stage.device].speed;
    const double seconds =
        cost.DecodeSeconds(speed, stage.first, stage.count, prediction.step_sequences);
    slowest = std::max(slowest, seconds);
    sum += seconds;
    prediction.token_seconds += cost.DecodeSeconds(speed, stage.first, stage.count, 1);
  }
  const double round = std::max(sum, static_cast<double>(steps_in_flight) * slowest);
  prediction.tokens_per_second = static_cast<double>(prediction.sequences_in_flight) / round;
  return prediction;
}

}  // namespace layercake
