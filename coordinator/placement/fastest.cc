#include "coordinator/placement/fastest.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "coordinator/placement/divide_few.h"
#include "coordinator/placement/divide_fleet.h"
#include "coordinator/placement/fastest_pipeline.h"
#include "coordinator/placement/predict.h"
#include "coordinator/placement/replicas.h"
#include "coordinator/placement/step_tables.h"

namespace layercake {
namespace {

constexpr int kLeastLayersOfFleets = 3;
// A division of unlike layers, which are estimated as if they were alike, is held against one of
// equal room where it is so far below its bound.
constexpr double kDoubtfulGap = 0.2;

std::vector<int> Everyone(const DeviceSelection& selection) {
  std::vector<int> devices(selection.devices.size());
  std::iota(devices.begin(), devices.end(), 0);
  return devices;
}

double Gap(double value, double bound) {
  const double gap = value > bound ? value / bound - 1 : 0;
  return gap > kSamePrediction ? gap : 0;
}

// Of the pipelines on these devices as fast as `fastest`, the one with the most KV blocks.
Pipeline WithMostBlocks(const CostModel& cost, const DeviceSelection& selection, int64_t sequences,
                        DeviceSpeed UsableDevice::*speed, double cycle_allowed,
                        const std::vector<int>& devices, Pipeline fastest) {
  const auto rate = [&](const Pipeline& pipeline) {
    return TokensPerSecond(cost, selection, pipeline);
  };
  const int64_t stages = static_cast<int64_t>(fastest.stages.size());
  int64_t low = ChooseBlocks(cost, selection.devices, fastest);
  int64_t high = std::max(low, stages * cost.limits().max_batch_sequences * cost.context_blocks());
  while (low < high) {
    const int64_t blocks = low + (high - low + 1) / 2;
    const StepTables tables = TablesFor(cost, selection, devices, blocks, sequences, speed);
    std::optional<Pipeline> found =
        MinimiseSum(tables.space(), cycle_allowed, fastest.sum * (1 + kSamePrediction));
    if (found.has_value() && found->cycle() <= cycle_allowed * (1 + kSamePrediction) &&
        found->stages.size() <= fastest.stages.size() &&
        rate(*found) >= rate(fastest) * (1 - kSamePrediction)) {
      fastest = *std::move(found);
      low = std::max(blocks, ChooseBlocks(cost, selection.devices, fastest));
    } else {
      high = blocks - 1;
    }
  }
  return fastest;
}

std::vector<int> DevicesOf(const Pipeline& pipeline) {
  std::vector<int> devices;
  for (const StageChoice& stage : pipeline.stages) devices.push_back(stage.device);
  std::sort(devices.begin(), devices.end());
  return devices;
}

std::vector<Pipeline> EachWithMostBlocks(const CostModel& cost, const DeviceSelection& selection,
                                         std::vector<RatedPipeline> pipelines) {
  const bool one = pipelines.size() == 1;
  std::vector<Pipeline> all;
  for (auto& [pipeline, sequences, rate] : pipelines) {
    const std::vector<int> devices = one ? Everyone(selection) : DevicesOf(pipeline);
    const double cycle = pipeline.cycle();
    all.push_back(WithMostBlocks(cost, selection, sequences, &UsableDevice::crowded_speed, cycle,
                                 devices, std::move(pipeline)));
  }
  return all;
}

double SumOf(const std::vector<RatedPipeline>& pipelines) {
  double rate = 0;
  for (const RatedPipeline& rated : pipelines) rate += rated.tokens_per_second;
  return rate;
}

// Looks for the most tokens/s of divisions whose pipelines all have as much KV room.
class EqualRooms {
 public:
  EqualRooms(const CostModel& cost, const DeviceSelection& selection, int num_replicas)
      : cost_(cost),
        selection_(selection),
        num_replicas_(num_replicas),
        devices_(Everyone(selection)),
        tables_(cost, selection, &UsableDevice::crowded_speed) {}

  // No pipelines: nothing fits.
  FleetDivision Run() {
    const int64_t batch = cost_.limits().max_batch_sequences;
    for (int64_t sequences = batch; sequences >= 1; --sequences) {
      const KvRoom least = {.sequences = sequences, .steps = 0};
      bound_ = std::max(bound_, MostTokens(tables_.For(devices_, least), sequences));
    }
    Consider({.sequences = batch, .steps = 0});
    if (best_.empty()) return {};
    const KvRoom most = tables_.MostRoom(devices_);
    for (int64_t sequences = most.sequences; sequences >= 1; sequences /= 2) {
      for (int64_t stages = most.steps; stages >= 1; stages /= 2) {
        Consider({sequences, stages});
      }
    }
    return Finish();
  }

 private:
  // No division makes more tokens/s with steps of that many sequences and as much room.
  static double MostTokens(const SearchSpace& space, int64_t sequences) {
    return static_cast<double>(sequences) * ReplicaRateBound(space);
  }

  // Keeps the fastest with that room, of each number of replicas, where they generate most so far.
  void Consider(const KvRoom& room) {
    const SearchSpace space = tables_.For(devices_, room);
    if (MostTokens(space, room.sequences) <= Highest() / (1 + kLeastGain)) return;
    for (Replicas& found : DivideDevices(space, num_replicas_).by_number) {
      std::vector<RatedPipeline> candidate;
      for (Pipeline& pipeline : found.pipelines) {
        const double rate = TokensPerSecond(cost_, selection_, pipeline);
        candidate.push_back({std::move(pipeline), room.sequences, rate});
      }
      std::vector<RatedPipeline>& best = best_[candidate.size()];
      if (SumOf(candidate) > SumOf(best) * (1 + kSamePrediction)) best = std::move(candidate);
    }
  }

  double Highest() const {
    double rate = 0;
    for (const auto& [number, candidate] : best_) rate = std::max(rate, SumOf(candidate));
    return rate;
  }

  // As few replicas as come near the highest rate.
  FleetDivision Finish() {
    auto chosen = best_.begin();
    while (SumOf(chosen->second) * (1 + kLeastGain) < Highest()) ++chosen;
    const double rate = SumOf(chosen->second);
    return {EachWithMostBlocks(cost_, selection_, std::move(chosen->second)), rate, bound_};
  }

  const CostModel& cost_;
  const DeviceSelection& selection_;
  const int num_replicas_;
  const std::vector<int> devices_;
  StepTableCache tables_;
  double bound_ = 0;                                   // no division makes more tokens/s
  std::map<size_t, std::vector<RatedPipeline>> best_;  // by number of replicas
};

//   num_replicas: 0: any number.
FleetDivision OverReplicas(const CostModel& cost, const DeviceSelection& selection,
                           int num_replicas) {
  if (cost.num_layers() < kLeastLayersOfFleets)
    return EqualRooms(cost, selection, num_replicas).Run();
  FleetDivision division = DivideFleet(cost, selection, num_replicas);
  const bool alike = cost.FirstLike(cost.num_layers() - 2, 1) == 1;
  if (!alike && division.bound > division.tokens_per_second * (1 + kDoubtfulGap)) {
    FleetDivision other = EqualRooms(cost, selection, num_replicas).Run();
    if (other.tokens_per_second > division.tokens_per_second) {
      division.pipelines = std::move(other.pipelines);
      division.tokens_per_second = other.tokens_per_second;
    }
  }
  return division;
}

bool RoomForSeveral(const CostModel& cost, const DeviceSelection& selection) {
  const StepTables tables =
      TablesFor(cost, selection, Everyone(selection), cost.context_blocks(),
                cost.limits().max_batch_sequences, &UsableDevice::crowded_speed);
  return MostReplicas(tables.space()) > 1;
}

}  // namespace

std::optional<Arrangement> ForThroughput(const CostModel& cost, const DeviceSelection& selection,
                                         int num_replicas) {
  if (selection.in_order) num_replicas = 1;
  const auto arranged = [&](std::vector<RatedPipeline> pipelines, double bound) {
    const double rate = SumOf(pipelines);
    return Arrangement{.replicas = EachWithMostBlocks(cost, selection, std::move(pipelines)),
                       .tokens_per_second = rate,
                       .gap = Gap(bound, rate)};
  };
  if (auto few = DivideFew(cost, selection, num_replicas, kLeastGain); few.has_value()) {
    if (few->pipelines.empty()) return std::nullopt;
    return arranged(std::move(few->pipelines), few->bound);
  }
  FleetDivision several;
  if (num_replicas != 1 && RoomForSeveral(cost, selection)) {
    several = OverReplicas(cost, selection, num_replicas);
  }
  if (num_replicas < 2) {
    // One pipeline, where it comes near what several would give.
    const double gain = several.pipelines.size() == 1 ? 0 : kLeastGain;
    auto fastest = FindFastestPipeline(cost, selection, Everyone(selection),
                                       several.tokens_per_second / (1 + gain));
    if (fastest.has_value()) {
      return arranged({std::move(fastest->rated)},
                      several.bound > 0 ? several.bound : fastest->bound);
    }
  }
  if (several.pipelines.empty()) return std::nullopt;
  return Arrangement{.replicas = std::move(several.pipelines),
                     .tokens_per_second = several.tokens_per_second,
                     .gap = Gap(several.bound, several.tokens_per_second)};
}

std::optional<Arrangement> ForLatency(const CostModel& cost, const DeviceSelection& selection) {
  const StepTables tables = TablesFor(cost, selection, Everyone(selection), cost.context_blocks(),
                                      1, &UsableDevice::speed);
  std::optional<Pipeline> found = MinimiseSum(tables.space());
  if (!found.has_value()) return std::nullopt;
  const double gap = Gap(found->sum, found->bound);
  return Arrangement{
      .replicas = {WithMostBlocks(cost, selection, 1, &UsableDevice::speed, kDoesNotFit,
                                  Everyone(selection), *std::move(found))},
      .gap = gap};
}

}  // namespace layercake
