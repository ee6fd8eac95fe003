#include "coordinator/placement/fastest.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "common/base/logging.h"
#include "coordinator/placement/memory.h"
#include "coordinator/placement/predict.h"

namespace layercake {
namespace {

// Times equal to this much are the same: none is predicted that well.
constexpr double kSameTime = 1e-9;

// The tables of a step of `sequences` sequences with room for `blocks` KV blocks on every stage.
struct Tables {
  StageTimes times;
  LinkTimes links;
  std::vector<int> devices;
  bool in_order;

  SearchSpace space() const { return {times, links, devices, in_order}; }
};

Tables TablesFor(const CostModel& cost, const DeviceSelection& selection, int64_t blocks,
                 int64_t sequences) {
  std::vector<DeviceSpeed> speeds;
  std::vector<int> rows;
  for (const UsableDevice& device : selection.devices) {
    const auto found = std::find(speeds.begin(), speeds.end(), device.speed);
    rows.push_back(static_cast<int>(found - speeds.begin()));
    if (found == speeds.end()) speeds.push_back(device.speed);
  }
  const int num_rows = static_cast<int>(speeds.size());
  Tables tables{
      .times = StageTimes(std::move(rows), num_rows, cost.num_layers()),
      .links = selection.links.Times(static_cast<double>(cost.ActivationBytes(sequences))),
      .devices = std::vector<int>(selection.devices.size()),
      .in_order = selection.in_order};
  std::iota(tables.devices.begin(), tables.devices.end(), 0);
  for (int row = 0; row < num_rows; ++row) {
    for (int first = 0; first < cost.num_layers(); ++first) {
      for (int count = 1; first + count <= cost.num_layers(); ++count) {
        tables.times.set(row, first, count,
                         cost.DecodeSeconds(speeds[row], first, count, sequences));
      }
    }
  }
  LimitToRoom(cost, selection, blocks, tables.times);
  return tables;
}

double Rate(const CostModel& cost, const DeviceSelection& selection, const Pipeline& pipeline) {
  const int64_t blocks = ChooseBlocks(cost, selection.devices, pipeline);
  return Predict(cost, selection, pipeline, blocks).tokens_per_second;
}

// Of the pipelines as fast as `fastest`, the one with the most KV blocks.
Pipeline WithMostBlocks(const CostModel& cost, const DeviceSelection& selection, int64_t sequences,
                        double cycle_allowed, Pipeline fastest) {
  const int64_t stages = static_cast<int64_t>(fastest.stages.size());
  int64_t low = ChooseBlocks(cost, selection.devices, fastest);
  int64_t high = std::max(low, stages * cost.limits().max_batch_sequences * cost.context_blocks());
  while (low < high) {
    const int64_t blocks = low + (high - low + 1) / 2;
    const Tables tables = TablesFor(cost, selection, blocks, sequences);
    std::optional<Pipeline> found =
        MinimiseSum(tables.space(), cycle_allowed, fastest.sum * (1 + kSameTime));
    if (found.has_value() && found->cycle() <= cycle_allowed * (1 + kSameTime) &&
        found->stages.size() <= fastest.stages.size() &&
        Rate(cost, selection, *found) >= Rate(cost, selection, fastest) * (1 - kSameTime)) {
      fastest = *std::move(found);
      low = std::max(blocks, ChooseBlocks(cost, selection.devices, fastest));
    } else {
      high = blocks - 1;
    }
  }
  return fastest;
}

double Gap(double value, double bound) {
  const double gap = value > bound ? value / bound - 1 : 0;
  return gap > kSameTime ? gap : 0;
}

}  // namespace

std::optional<Arrangement> ForThroughput(const CostModel& cost, const DeviceSelection& selection) {
  const int64_t batch = cost.limits().max_batch_sequences;
  struct Candidate {
    Pipeline pipeline;
    double rate = 0;
    int64_t sequences = 0;
  };
  Candidate best;
  // Whether the fastest with that room generates most so far.
  const auto consider = [&](int64_t blocks, int64_t sequences) {
    const Tables tables = TablesFor(cost, selection, blocks, sequences);
    // No pipeline generates more than the sequences of a step in each cycle.
    const double slowest_of_use =
        best.rate > 0 ? static_cast<double>(sequences) / best.rate : kDoesNotFit;
    std::optional<Pipeline> found = MinimiseCycle(tables.space(), slowest_of_use);
    if (!found.has_value()) return;
    const double rate = Rate(cost, selection, *found);
    if (rate <= best.rate * (1 + kSameTime)) return;
    best = {.pipeline = *std::move(found), .rate = rate, .sequences = sequences};
  };
  consider(cost.context_blocks(), batch);
  if (best.rate == 0) return std::nullopt;
  const double highest_rate = static_cast<double>(batch) / best.pipeline.bound;
  const int64_t most_stages = std::min<int64_t>(selection.devices.size(), 8);
  for (int64_t room = batch * most_stages; room >= 1; room /= 2) {
    if (best.rate >= highest_rate * (1 - kSameTime)) break;
    consider(std::max(cost.context_blocks(), room * cost.sequence_blocks()), std::min(room, batch));
  }
  const double cycle = best.pipeline.cycle();
  const double gap = Gap(cycle, best.pipeline.bound);
  return Arrangement{
      .pipeline = WithMostBlocks(cost, selection, best.sequences, cycle, std::move(best.pipeline)),
      .gap = gap};
}

std::optional<Arrangement> ForLatency(const CostModel& cost, const DeviceSelection& selection) {
  const Tables tables = TablesFor(cost, selection, cost.context_blocks(), 1);
  std::optional<Pipeline> found = MinimiseSum(tables.space());
  if (!found.has_value()) return std::nullopt;
  const double gap = Gap(found->sum, found->bound);
  return Arrangement{.pipeline = WithMostBlocks(cost, selection, 1, kDoesNotFit, *std::move(found)),
                     .gap = gap};
}

}  // namespace layercake
