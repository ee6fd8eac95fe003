#include "coordinator/placement/fastest.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "coordinator/placement/divide_few.h"
#include "coordinator/placement/divide_fleet.h"
#include "coordinator/placement/memory.h"
#include "coordinator/placement/pipeline_bound.h"
#include "coordinator/placement/predict.h"
#include "coordinator/placement/replicas.h"
#include "coordinator/placement/step_tables.h"

namespace layercake {
namespace {

// Times equal to this much are the same: none is predicted that well.
constexpr double kSameTime = 1e-9;
// Replicas that gain less than this share are not worth the slower answers of a slow one.
constexpr double kLeastGain = 0.02;
constexpr int kLeastLayersOfFleets = 3;
// Where a bound is not reached, up to so many times its cycle are tried, by steps of so much, and
// so many stages more and less.
constexpr double kMostSlower = 1.2;
constexpr double kSlowerBy = 0.02;
constexpr int64_t kMostStagesMore = 3;
// So many times as good is worth another look.
constexpr double kLeastBetter = 1.001;
// Of a cycle, for each stage: fees make stages few, where links then do not make the sum too large.
constexpr double kStageRewards[] = {-1, 0, 0.5};
// So near the bound nothing more is looked for.
constexpr double kNearEnough = 0.005;
// A division of unlike layers, which are estimated as if they were alike, is held against one of
// equal room where it is so far below its bound.
constexpr double kDoubtfulGap = 0.2;

std::vector<int> Everyone(const DeviceSelection& selection) {
  std::vector<int> devices(selection.devices.size());
  std::iota(devices.begin(), devices.end(), 0);
  return devices;
}

StepTables TablesFor(const CostModel& cost, const DeviceSelection& selection, int64_t blocks,
                     int64_t sequences, DeviceSpeed UsableDevice::*speed) {
  return TablesFor(cost, selection, Everyone(selection), blocks, sequences, speed);
}

double Gap(double value, double bound) {
  const double gap = value > bound ? value / bound - 1 : 0;
  return gap > kSameTime ? gap : 0;
}

double Rate(const CostModel& cost, const DeviceSelection& selection,
            const std::vector<Pipeline>& pipelines) {
  double rate = 0;
  for (const Pipeline& pipeline : pipelines) {
    const int64_t blocks = ChooseBlocks(cost, selection.devices, pipeline);
    rate += Predict(cost, selection, pipeline, blocks).tokens_per_second;
  }
  return rate;
}

// Of the pipelines on these devices as fast as `fastest`, the one with the most KV blocks.
Pipeline WithMostBlocks(const CostModel& cost, const DeviceSelection& selection, int64_t sequences,
                        DeviceSpeed UsableDevice::*speed, double cycle_allowed,
                        const std::vector<int>& devices, Pipeline fastest) {
  const int64_t stages = static_cast<int64_t>(fastest.stages.size());
  int64_t low = ChooseBlocks(cost, selection.devices, fastest);
  int64_t high = std::max(low, stages * cost.limits().max_batch_sequences * cost.context_blocks());
  while (low < high) {
    const int64_t blocks = low + (high - low + 1) / 2;
    const StepTables tables = TablesFor(cost, selection, devices, blocks, sequences, speed);
    std::optional<Pipeline> found =
        MinimiseSum(tables.space(), cycle_allowed, fastest.sum * (1 + kSameTime));
    if (found.has_value() && found->cycle() <= cycle_allowed * (1 + kSameTime) &&
        found->stages.size() <= fastest.stages.size() &&
        Rate(cost, selection, std::vector{*found}) >=
            Rate(cost, selection, std::vector{fastest}) * (1 - kSameTime)) {
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

// Looks for the most tokens/s.
class Throughput {
 public:
  Throughput(const CostModel& cost, const DeviceSelection& selection, int num_replicas)
      : cost_(cost),
        selection_(selection),
        num_replicas_(num_replicas),
        bounds_any_room_(num_replicas == 1 && !selection.in_order &&
                         cost.num_layers() >= kLeastLayersOfFleets) {}

  // nullopt: nothing fits.
  std::optional<Arrangement> Run() {
    const int64_t batch = cost_.limits().max_batch_sequences;
    // No room for more can be faster than room for one.
    highest_ = Consider(TablesOf({.sequences = batch, .steps = 0}), batch);
    if (best_.empty()) return std::nullopt;
    if (bounds_any_room_) TryRoomsOfBound();
    TryRooms(batch);
    if (num_replicas_ == 1) RefineRoom(batch);
    return Finish();
  }

 private:
  struct Candidate {
    Replicas replicas;
    double bound = 0;
    double rate = 0;  // tokens/s
    int64_t sequences = 0;
  };

  void TryRoomsOfBound() {
    const PipelineBound bound = BoundPipeline(cost_, selection_);
    highest_ = std::min(highest_, bound.tokens_per_second);
    for (const PipelineBound::Room& room : bound.rooms) {
      TryRoom(room);
      // Whole devices may take a stage more or less than parts of them.
      for (int64_t more = 1; more <= kMostStagesMore && !CannotGain(); ++more) {
        for (const int64_t steps : {room.steps - more, room.steps + more}) {
          if (steps > 0) TryRoom({room.sequences, steps});
        }
      }
      if (room.sequences > 1) TryRoom({room.sequences - 1, room.steps});
    }
  }

  // Within cycles from that of the bound on, until one gives what it promises.
  void TryRoom(const PipelineBound::Room& room) {
    const StepTables tables = TablesOf(room);
    Consider(tables, room.sequences);
    const double cycle = static_cast<double>(room.sequences) / highest_;
    for (double slower = 1; Highest() * slower < highest_ && slower < kMostSlower;
         slower += kSlowerBy) {
      FewStagesGain(tables, room.sequences, cycle * slower);
    }
  }

  // The smallest cycle may take more stages than there is room for steps of so many sequences:
  // whether a pipeline within this cycle takes fewer, and generates most so far.
  bool FewStagesGain(const StepTables& tables, int64_t sequences, double cycle) {
    const double highest = Highest();
    SearchSpace space = tables.space();
    for (const double reward : kStageRewards) {
      space.reward = reward * cycle;
      std::optional<Pipeline> found = MinimiseSum(space, cycle);
      if (!found.has_value()) break;
      Keep({.pipelines = {*std::move(found)}}, /*bound=*/0, sequences);
    }
    return Highest() > highest * kLeastBetter;
  }

  bool CannotGain() const {
    return Highest() >= highest_ * (1 - (bounds_any_room_ ? kNearEnough : kSameTime));
  }

  // Room for steps of a full batch and less, in each of as many stages as there may be and fewer.
  void TryRooms(int64_t batch) {
    const auto devices = static_cast<int64_t>(selection_.devices.size());
    for (int64_t sequences = batch; sequences >= 1; sequences /= 2) {
      if (MostTokens(TablesOf({.sequences = sequences, .steps = 0}), sequences) <= Highest())
        continue;
      for (int64_t stages = std::min<int64_t>(devices, cost_.num_layers()); stages >= 1;
           stages /= 2) {
        if (CannotGain()) return;
        Consider(TablesOf({sequences, stages}), sequences);
      }
    }
  }

  // Of one pipeline, room for every number of sequences a step in as many steps as the best has in
  // flight, or one more or less.
  void RefineRoom(int64_t batch) {
    const int64_t nearby = bounds_any_room_ ? 1 : 0;
    for (int64_t before = 0; !CannotGain() && StepsInFlight() != before;) {
      before = StepsInFlight();
      for (int64_t steps = std::max<int64_t>(1, before - nearby); steps <= before + nearby;
           ++steps) {
        RefineRoom(batch, steps);
      }
    }
  }

  void RefineRoom(int64_t batch, int64_t steps) {
    for (int64_t sequences = batch; sequences >= 1 && !CannotGain(); --sequences) {
      const StepTables tables = TablesOf({sequences, steps});
      if (MostTokens(tables, sequences) <= Highest()) continue;
      Consider(tables, sequences);
      if (!bounds_any_room_) continue;
      const auto cycle = [&] { return static_cast<double>(sequences) / Highest() / kLeastBetter; };
      while (!CannotGain() && FewStagesGain(tables, sequences, cycle())) {
      }
    }
  }

  int64_t StepsInFlight() const {
    const Pipeline& best = best_.at(1).replicas.pipelines[0];
    const int64_t blocks = ChooseBlocks(cost_, selection_.devices, best);
    const Prediction prediction = Predict(cost_, selection_, best, blocks);
    return prediction.sequences_in_flight / prediction.step_sequences;
  }

  double Highest() const {
    double rate = 0;
    for (const auto& [number, candidate] : best_) rate = std::max(rate, candidate.rate);
    return rate;
  }

  // Of that room, or as the context takes, if that is more.
  StepTables TablesOf(const PipelineBound::Room& room) const {
    const int64_t blocks = room.sequences * room.steps * cost_.sequence_blocks();
    return TablesFor(cost_, selection_, std::max(blocks, cost_.context_blocks()), room.sequences,
                     &UsableDevice::crowded_speed);
  }

  // No arrangement with that room makes more tokens/s with steps of that many sequences.
  double MostTokens(const StepTables& tables, int64_t sequences) const {
    const double steps =
        num_replicas_ == 1 ? 1 / PeriodBound(tables.space()) : ReplicaRateBound(tables.space());
    return static_cast<double>(sequences) * steps;
  }

  Divisions Search(const SearchSpace& space, double least_rate) const {
    if (num_replicas_ != 1) {
      if (ReplicaRateBound(space) <= least_rate) return {};
      return DivideDevices(space, num_replicas_);
    }
    std::optional<Pipeline> found =
        MinimiseCycle(space, least_rate > 0 ? 1 / least_rate : kDoesNotFit);
    if (!found.has_value()) return {};
    const double bound = 1 / found->bound;
    return {.by_number = {{.pipelines = {*found}, .rate = 1 / found->cycle()}}, .bound = bound};
  }

  // Keeps the fastest with that room for steps of that many sequences, of each number of replicas,
  // where they generate most so far. Returns what none with that room can exceed, in tokens/s.
  double Consider(const StepTables& tables, int64_t sequences) {
    const auto per_step = static_cast<double>(sequences);
    // No pipeline generates more than the sequences of a step in each cycle.
    Divisions found = Search(tables.space(), Highest() / (1 + kLeastGain) / per_step);
    for (Replicas& replicas : found.by_number) Keep(std::move(replicas), found.bound, sequences);
    return found.bound * per_step;
  }

  void Keep(Replicas replicas, double bound, int64_t sequences) {
    const double rate = Rate(cost_, selection_, replicas.pipelines);
    Candidate& best = best_[replicas.pipelines.size()];
    if (rate <= best.rate * (1 + kSameTime)) return;
    best = {.replicas = std::move(replicas), .bound = bound, .rate = rate, .sequences = sequences};
  }

  // As few replicas as come near the highest rate.
  Arrangement Finish() {
    auto chosen = best_.begin();
    while (chosen->second.rate * (1 + kLeastGain) < Highest()) ++chosen;
    const auto& [number, best] = *chosen;
    Arrangement arrangement{
        .tokens_per_second = best.rate,
        .gap = bounds_any_room_ ? Gap(highest_, best.rate) : Gap(best.bound, best.replicas.rate)};
    for (const Pipeline& pipeline : best.replicas.pipelines) {
      arrangement.replicas.push_back(WithMostBlocks(
          cost_, selection_, best.sequences, &UsableDevice::crowded_speed, pipeline.cycle(),
          number == 1 ? Everyone(selection_) : DevicesOf(pipeline), pipeline));
    }
    return arrangement;
  }

  const CostModel& cost_;
  const DeviceSelection& selection_;
  const int num_replicas_;
  const bool bounds_any_room_;        // of one pipeline in any order
  double highest_ = 0;                // no arrangement makes more tokens/s
  std::map<size_t, Candidate> best_;  // by number of replicas
};

std::optional<Arrangement> OfFew(const CostModel& cost, const DeviceSelection& selection,
                                 const FewDivision& division) {
  if (division.pipelines.empty()) return std::nullopt;
  Arrangement arrangement;
  for (const RatedPipeline& rated : division.pipelines) {
    arrangement.replicas.push_back(WithMostBlocks(
        cost, selection, rated.sequences, &UsableDevice::crowded_speed, rated.pipeline.cycle(),
        division.pipelines.size() == 1 ? Everyone(selection) : DevicesOf(rated.pipeline),
        rated.pipeline));
  }
  arrangement.tokens_per_second = Rate(cost, selection, arrangement.replicas);
  arrangement.gap = Gap(division.bound, arrangement.tokens_per_second);
  return arrangement;
}

//   num_replicas: 0: any number.
// nullopt: none was found, or there can be but one.
std::optional<Arrangement> OverReplicas(const CostModel& cost, const DeviceSelection& selection,
                                        int num_replicas) {
  const StepTables tables =
      TablesFor(cost, selection, cost.context_blocks(), cost.limits().max_batch_sequences,
                &UsableDevice::crowded_speed);
  const auto with_equal_room = [&] { return Throughput(cost, selection, num_replicas).Run(); };
  if (cost.num_layers() < kLeastLayersOfFleets) return with_equal_room();
  if (MostReplicas(tables.space()) < 2) return std::nullopt;
  FleetDivision division = DivideFleet(cost, selection, num_replicas);
  Arrangement several = {.replicas = std::move(division.pipelines),
                         .tokens_per_second = division.tokens_per_second};
  const bool alike = cost.FirstLike(cost.num_layers() - 2, 1) == 1;
  if (!alike && division.bound > several.tokens_per_second * (1 + kDoubtfulGap)) {
    std::optional<Arrangement> other = with_equal_room();
    if (other.has_value() && other->tokens_per_second > several.tokens_per_second) {
      several = *std::move(other);
    }
  }
  if (several.replicas.empty()) return std::nullopt;
  several.gap = Gap(division.bound, several.tokens_per_second);
  return several;
}

}  // namespace

std::optional<Arrangement> ForThroughput(const CostModel& cost, const DeviceSelection& selection,
                                         int num_replicas) {
  if (selection.in_order) num_replicas = 1;
  const auto few = DivideFew(cost, selection, num_replicas, kLeastGain);
  if (few.has_value()) return OfFew(cost, selection, *few);
  if (num_replicas > 1) return OverReplicas(cost, selection, num_replicas);
  std::optional<Arrangement> one = Throughput(cost, selection, 1).Run();
  if (!one.has_value() || num_replicas == 1) return one;
  const std::optional<Arrangement> several = OverReplicas(cost, selection, 0);
  if (!several.has_value()) return one;
  const double gain = several->tokens_per_second / one->tokens_per_second;
  if (gain > (several->replicas.size() == 1 ? 1 : 1 + kLeastGain)) return several;
  one->gap = std::max(0.0, gain * (1 + several->gap) - 1);
  return one;
}

std::optional<Arrangement> ForLatency(const CostModel& cost, const DeviceSelection& selection) {
  const StepTables tables =
      TablesFor(cost, selection, cost.context_blocks(), 1, &UsableDevice::speed);
  std::optional<Pipeline> found = MinimiseSum(tables.space());
  if (!found.has_value()) return std::nullopt;
  const double gap = Gap(found->sum, found->bound);
  return Arrangement{
      .replicas = {WithMostBlocks(cost, selection, 1, &UsableDevice::speed, kDoesNotFit,
                                  Everyone(selection), *std::move(found))},
      .gap = gap};
}

}  // namespace layercake
