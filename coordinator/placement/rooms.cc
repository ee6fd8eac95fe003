#include "coordinator/placement/rooms.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace layercake {
namespace {

// Bounds are found to this share; those of several rooms, which are halved anyway, to this.
constexpr double kCloseEnough = 1e-3;
constexpr double kRoughly = 0.05;
constexpr double kRounding = 1e-9;
// Rewards for a stage that are tried.
constexpr int kMaxRewards = 8;

double Width(int64_t least, int64_t most) {
  return std::log(static_cast<double>(most) / static_cast<double>(least));
}

// What no pipeline of that period takes less than, less its rewards.
struct Least {
  double sum;  // with them
  double stages;
};

//   relaxation: of `space`.
std::optional<Least> LeastOf(SearchSpace space, const Relaxation& relaxation, double period,
                             double reward) {
  const std::optional<RelaxedPlacement> relaxed = relaxation.LeastSum(period, reward);
  if (!relaxed.has_value()) return std::nullopt;
  if (!space.in_order) {
    const auto stages = static_cast<double>(relaxed->devices.size());
    return Least{relaxed->sum + reward * stages, stages};
  }
  space.reward = reward;
  const std::optional<Pipeline> found = MinimiseSum(space, period);
  if (!found.has_value()) return std::nullopt;
  return Least{found->sum, static_cast<double>(found->stages.size())};
}

}  // namespace

RoomSearch::RoomSearch(StepTableCache& tables, std::vector<int> devices)
    : tables_(tables), devices_(std::move(devices)) {
  const KvRoom most = tables_.MostRoom(devices_);
  boxes_.push_back({{1, 1}, {1, most.steps}, kDoesNotFit});
  if (most.sequences > 1) boxes_.push_back({{2, 1}, most, kDoesNotFit});
}

// With steps of n sequences each C seconds apart a pipeline generates n / C. Its S stages and links
// then take at most C each, and S * C in all; with m < S steps in flight, of one sequence, m * C in
// all. So with a reward R for each stage, the least that all stages and links can take less their
// rewards must not be more than the most of (C - R) * S, or m * C - R * S.
bool RoomSearch::MayGenerate(const SearchSpace& space, const Relaxation& relaxation, const Box& box,
                             double tokens_per_second) {
  const double cycle = static_cast<double>(box.most.sequences) / tokens_per_second;
  const auto least_stages = static_cast<double>(box.least.steps);
  const auto most_steps = static_cast<double>(box.most.steps);
  const bool full = box.least.sequences > 1;  // as many steps as stages
  // Too few and too many stages, with the rewards at which these are best.
  std::optional<Least> few;
  std::optional<Least> many;
  double reward = full ? cycle : 0;
  double step = cycle;
  for (int i = 0; i < kMaxRewards; ++i) {
    const std::optional<Least> least = LeastOf(space, relaxation, cycle, reward);
    if (!least.has_value()) return false;
    const double allowed = full ? (cycle - reward) * (reward < cycle ? most_steps : least_stages)
                                : most_steps * cycle - reward * least_stages;
    if (least->sum - reward * least->stages > allowed + kRounding * most_steps * cycle) {
      return false;
    }
    if (least->stages >= least_stages && !(full && least->stages > most_steps)) return true;
    (least->stages < least_stages ? few : many) = least;
    // Between the two the reward says most at which they are equally good.
    if (few.has_value() && many.has_value()) {
      reward = (many->sum - few->sum) / (many->stages - few->stages);
    } else {
      reward += few.has_value() ? step : -step;
      step *= 4;
    }
  }
  return true;
}

bool RoomSearch::MayGenerate(const KvRoom& room, double tokens_per_second) {
  const SearchSpace space = tables_.For(devices_, room);
  return MayGenerate(space, Relaxation(space), {room, room, kDoesNotFit}, tokens_per_second);
}

std::optional<RoomSearch::Box> RoomSearch::Bounded(Box box, double least) {
  const SearchSpace space = tables_.For(devices_, box.least);
  const Relaxation relaxation(space);
  const double by_cycle = static_cast<double>(box.most.sequences) / relaxation.CycleBound();
  double most = std::min(box.tokens_per_second, by_cycle * (1 + kRounding));
  if (most <= least || !MayGenerate(space, relaxation, box, least)) return std::nullopt;
  const double close = box.IsOneRoom() ? kCloseEnough : kRoughly;
  for (double may = least; most > may * (1 + close);) {
    const double between = std::sqrt(may * most);
    (MayGenerate(space, relaxation, box, between) ? may : most) = between;
  }
  box.tokens_per_second = most;
  return box;
}

// Into what of it promises more than `least`.
void RoomSearch::Halve(const Box& box, double least) {
  Box lower = box;
  Box upper = box;
  if (Width(box.least.sequences, box.most.sequences) > Width(box.least.steps, box.most.steps)) {
    lower.most.sequences = (box.least.sequences + box.most.sequences) / 2;
    upper.least.sequences = lower.most.sequences + 1;
  } else {
    lower.most.steps = (box.least.steps + box.most.steps) / 2;
    upper.least.steps = lower.most.steps + 1;
  }
  for (const Box& half : {lower, upper}) {
    const std::optional<Box> bounded = Bounded(half, least);
    if (!bounded.has_value()) continue;
    boxes_.push_back(*bounded);
    std::ranges::push_heap(boxes_, {}, &Box::tokens_per_second);
  }
}

std::optional<RoomSearch::Promise> RoomSearch::Next(double least) {
  while (!boxes_.empty()) {
    std::ranges::pop_heap(boxes_, {}, &Box::tokens_per_second);
    const Box box = boxes_.back();
    boxes_.pop_back();
    if (box.tokens_per_second <= least) break;
    if (box.IsOneRoom()) return Promise{box.least, box.tokens_per_second};
    Halve(box, least);
  }
  boxes_.clear();
  return std::nullopt;
}

}  // namespace layercake
