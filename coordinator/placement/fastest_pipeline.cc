#include "coordinator/placement/fastest_pipeline.h"

#include <algorithm>
#include <utility>

#include "coordinator/placement/rooms.h"

namespace layercake {
namespace {

// So near the bound nothing more is looked for, nor in more rooms than this.
constexpr double kNearEnough = 0.002;
constexpr int kMaxRooms = 12;
// Where a bound is not reached, up to so many times its cycle are tried, by steps of so much.
constexpr double kMostSlower = 1.1;
constexpr double kSlowerBy = 0.01;
// So many times as good is worth another look.
constexpr double kLeastBetter = 1.001;
// Of a cycle, for each stage: fees make stages few, where links then do not make the sum too large.
constexpr double kStageRewards[] = {-1, 0, 0.5};

class Search {
 public:
  Search(const CostModel& cost, const DeviceSelection& selection, const std::vector<int>& devices,
         double least)
      : cost_(cost),
        selection_(selection),
        devices_(devices),
        tables_(cost, selection, &UsableDevice::crowded_speed),
        most_(least) {}

  std::optional<FastestPipeline> Run() {
    // No room for more fits if room for one sequence does not.
    const KvRoom least = {.sequences = cost_.limits().max_batch_sequences, .steps = 0};
    TrySmallestCycle(tables_.For(devices_, least), least);
    if (most_ == 0) return std::nullopt;
    RoomSearch rooms(tables_, devices_);
    double bound = 0;
    for (int tried = 0;; ++tried) {
      const auto next = rooms.Next(most_ * (1 + kSamePrediction));
      if (!next.has_value()) break;
      if (tried == kMaxRooms || next->tokens_per_second <= most_ * (1 + kNearEnough)) {
        bound = std::max(bound, next->tokens_per_second);
        break;
      }
      Try(next->room, next->tokens_per_second);
      if (rooms.MayGenerate(next->room, most_ * (1 + kSamePrediction))) {
        bound = std::max(bound, next->tokens_per_second);
      }
    }
    if (!best_.has_value()) return std::nullopt;
    return FastestPipeline{*std::move(best_), std::max(bound, most_)};
  }

 private:
  void TrySmallestCycle(const SearchSpace& space, const KvRoom& room) {
    const double allowed = static_cast<double>(room.sequences) / most_;
    std::optional<Pipeline> found = MinimiseCycle(space, allowed);
    if (found.has_value()) Keep(*std::move(found), room);
  }

  //   bound: tokens/s that no pipeline with this room exceeds.
  void Try(const KvRoom& room, double bound) {
    const SearchSpace space = tables_.For(devices_, room);
    TrySmallestCycle(space, room);
    const auto sequences = static_cast<double>(room.sequences);
    for (double slower = 1; slower < kMostSlower; slower += kSlowerBy) {
      if (most_ * slower >= bound) break;
      Improve(space, room, sequences / bound * slower);
    }
    while (Improve(space, room, sequences / most_ / kLeastBetter)) {
    }
  }

  // The smallest cycle may take more stages than there is room for steps of so many sequences:
  // whether a pipeline within this cycle takes fewer, and generates most so far.
  bool Improve(SearchSpace space, const KvRoom& room, double cycle) {
    const double before = most_;
    for (const double reward : kStageRewards) {
      space.reward = reward * cycle;
      std::optional<Pipeline> found = MinimiseSum(space, cycle);
      if (!found.has_value()) break;
      Keep(*std::move(found), room);
    }
    return most_ > before * kLeastBetter;
  }

  void Keep(Pipeline pipeline, const KvRoom& room) {
    const double rate = TokensPerSecond(cost_, selection_, pipeline);
    if (rate <= most_ * (1 + kSamePrediction)) return;
    most_ = rate;
    best_ = {std::move(pipeline), room.sequences, rate};
  }

  const CostModel& cost_;
  const DeviceSelection& selection_;
  const std::vector<int>& devices_;
  StepTableCache tables_;
  double most_;  // tokens/s that were found, or were to be
  std::optional<RatedPipeline> best_;
};

}  // namespace

std::optional<FastestPipeline> FindFastestPipeline(const CostModel& cost,
                                                   const DeviceSelection& selection,
                                                   const std::vector<int>& devices, double least) {
  return Search(cost, selection, devices, least).Run();
}

}  // namespace layercake
