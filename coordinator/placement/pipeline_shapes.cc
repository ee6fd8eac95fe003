#include "coordinator/placement/pipeline_shapes.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

namespace layercake {
namespace {

// Cycles that differ by less are one.
constexpr double kSameCycle = 0.004;
// A deeper pipeline costs about half as much as is lost by a slower one.
constexpr double kWeightOfStages = 0.5;
// What is looked for beyond the cheapest: so many, at most so much dearer, in so many steps.
constexpr size_t kMaxCheapest = 6;
constexpr double kAboutCheapest = 1.02;
constexpr int kMaxStepsBeyond = 100;

// The least that `wanted` layers cost, by devices of each class in parts: a knapsack, in which
// there are at most so many devices.
class Knapsack {
 public:
  //   most: layers that a device of each class takes.
  Knapsack(const std::vector<int>& most, double wanted, double stages,
           const std::vector<double>& prices, const std::vector<double>& numbers)
      : most_(most),
        wanted_(wanted),
        stages_(stages + kRounding),
        prices_(prices),
        numbers_(numbers) {
    for (size_t cls = 0; cls < most.size(); ++cls) {
      if (most[cls] > 0 && numbers[cls] > 0) usable_.push_back(static_cast<int>(cls));
    }
  }

  bool Feasible() const {
    std::vector<int> order = usable_;
    std::sort(order.begin(), order.end(), [this](int a, int b) { return most_[a] > most_[b]; });
    double left = wanted_;
    double stages = stages_;
    for (const int cls : order) {
      const double taken = std::min(stages, numbers_[cls]);
      left -= taken * most_[cls];
      stages -= taken;
    }
    return left <= 0;
  }

  // A bound from below: it is not made better than `enough`. With a fee for each device, what is
  // cheapest less the fees of as many as are allowed is a bound whatever the fee; the best fee is
  // that at which just so many are taken, between one of too many and one of few enough, where the
  // lines through these two meet.
  //   fee: where to begin; the best found.
  //   devices: of each class, if not null.
  double Least(double enough, double& fee, std::vector<double>* devices) const {
    const Filling start = Fill(fee);
    double best = Bound(start);
    if (devices == nullptr && best >= enough) return best;
    const auto keep = [&](const Filling& filling) {
      if (Bound(filling) <= best) return;
      best = Bound(filling);
      fee = filling.fee;
    };
    Filling many = start;
    Filling few = start;
    for (int i = 0; few.devices > stages_ && i < kMaxDoublings; ++i) {
      many = std::move(few);
      few = Fill(std::max(2 * many.fee, LeastFee()));
      keep(few);
    }
    while (many.devices <= stages_ && many.fee > 0) {
      few = std::move(many);
      many = Fill(few.fee > LeastFee() ? few.fee / 2 : 0);
      keep(many);
    }
    if (many.devices <= stages_) {
      if (devices != nullptr) *devices = many.taken;
      return best;
    }
    while ((devices != nullptr || best < enough) && few.devices < many.devices) {
      Filling between = Fill((few.price - many.price) / (many.devices - few.devices));
      keep(between);
      const double meets = many.price + between.fee * (many.devices - stages_);
      if (Bound(between) >= meets * (1 - kRounding)) break;
      (between.devices > stages_ ? many : few) = std::move(between);
    }
    if (devices != nullptr) Mix(many, few, *devices);
    return best;
  }

 private:
  static constexpr double kRounding = 1e-6;
  static constexpr int kMaxDoublings = 100;

  struct Filling {
    double fee = 0;
    double price = 0;  // without fees
    double devices = 0;
    std::vector<double> taken;  // of each class
  };

  // The cheapest by layer, where each device is dearer by the fee.
  Filling Fill(double fee) const {
    std::vector<std::pair<double, int>> order;
    for (const int cls : usable_) order.emplace_back((prices_[cls] + fee) / most_[cls], cls);
    std::sort(order.begin(), order.end());
    Filling filling = {.fee = fee, .taken = std::vector<double>(most_.size(), 0)};
    double left = wanted_;
    for (const auto& [price, cls] : order) {
      if (left <= 0) break;
      const double taken = std::min(numbers_[cls], left / most_[cls]);
      filling.taken[cls] = taken;
      filling.devices += taken;
      filling.price += taken * prices_[cls];
      left -= taken * most_[cls];
    }
    return filling;
  }

  double Bound(const Filling& filling) const {
    return filling.price + filling.fee * (filling.devices - stages_);
  }

  double LeastFee() const {
    double dearest = 0;
    for (const int cls : usable_) dearest = std::max(dearest, prices_[cls]);
    return 0.01 * dearest + 1e-12;
  }

  // Of both so much that there are as many devices as may be.
  void Mix(const Filling& many, const Filling& few, std::vector<double>& devices) const {
    const double share =
        few.devices < many.devices
            ? std::min(1.0, (many.devices - stages_) / (many.devices - few.devices))
            : 1;
    devices = few.taken;
    for (size_t cls = 0; cls < devices.size(); ++cls) {
      devices[cls] = share * few.taken[cls] + (1 - share) * many.taken[cls];
    }
  }

  const std::vector<int>& most_;
  const double wanted_;
  const double stages_;
  const std::vector<double>& prices_;
  const std::vector<double>& numbers_;
  std::vector<int> usable_;
};

int LongestWithin(const std::vector<double>& seconds, double cycle) {
  const auto first = seconds.begin() + 1;
  return static_cast<int>(std::upper_bound(first, seconds.end(), cycle) - first);
}

double LinkOf(const StageSeconds& seconds, PipelineReach reach) {
  return reach == PipelineReach::kPort ? seconds.within_port : seconds.link;
}

}  // namespace

// What devices take at most of pipelines in a box.
struct PipelineShapes::Layers {
  std::vector<int> most;  // of each class
  // All layers, and what a first and a last stage take less than others; kDoesNotFit: nothing can
  // be first, or last.
  double wanted = 0;
};

// All shapes from the least to the most.
struct PipelineShapes::Box {
  PipelineReach reach;
  int64_t least_sequences;
  int64_t most_sequences;
  int least_stages;
  int most_stages;
  double least_cycle;
  double most_cycle;

  Layers layers;
  double price = 0;  // for each of the tokens/s, at least
  double fee = 0;    // the best so far, see Knapsack
  std::unique_ptr<Box> lower;
  std::unique_ptr<Box> upper;

  double most_tokens_per_second() const {
    return static_cast<double>(most_sequences) / least_cycle;
  }
  double sequences_width() const {
    return std::log(static_cast<double>(most_sequences) / static_cast<double>(least_sequences));
  }
  double stages_width() const {
    return kWeightOfStages * std::log(static_cast<double>(most_stages) / least_stages);
  }
  double cycle_width() const { return std::log(most_cycle / least_cycle); }
  bool IsOneShape() const {
    return least_sequences == most_sequences && least_stages == most_stages &&
           cycle_width() <= kSameCycle;
  }
};

PipelineShapes::PipelineShapes(const CostModel& cost, const DeviceClasses& classes, Take take)
    : cost_(cost), classes_(classes), take_(take) {}

PipelineShapes::~PipelineShapes() = default;

std::vector<double> PipelineShapes::Worths() const {
  std::vector<double> worths(classes_.size(), 0);
  for (const int64_t sequences : {int64_t{1}, cost_.limits().max_batch_sequences}) {
    for (int cls = 0; cls < classes_.size(); ++cls) {
      const int most = classes_.RoomFor(0, classes_.most_room(cls)).middle;
      const StageSeconds& seconds = classes_.At(sequences).of_class[cls];
      for (int count = 1; count <= most; ++count) {
        worths[cls] = std::max(worths[cls], static_cast<double>(sequences * count) /
                                                seconds.middle[count] / cost_.num_layers());
      }
    }
  }
  return worths;
}

// A pipeline over several ports takes a link to each, which must not exceed its cycle; one within a
// port must find room there.
bool PipelineShapes::MayTakePart(int cls, const StageSeconds& seconds, PipelineReach reach,
                                 double cycle) const {
  if (reach == PipelineReach::kPort) return classes_.port_may_hold_all(cls);
  return reach == PipelineReach::kDevice || seconds.to_others <= cycle;
}

int PipelineShapes::MostLayers(const PipelineShape& shape, int device) const {
  const int cls = classes_.class_of(device);
  const StageSeconds& seconds = classes_.At(shape.sequences).of_class[cls];
  const bool kept = take_ == Take::kKept;
  if (!MayTakePart(cls, seconds, shape.reach, shape.cycle)) return 0;
  // One sequence a step may also be fewer in flight than there are stages.
  const int64_t in_flight = shape.sequences == 1 ? 1 : shape.sequences * shape.stages;
  return std::min(
      LongestWithin(seconds.middle, shape.cycle - (kept ? LinkOf(seconds, shape.reach) : 0)),
      classes_.RoomFor(classes_.KvBytes(in_flight), classes_.room(device)).middle);
}

// At the least sequences and stages, and the most cycle: no shape of the box takes more.
PipelineShapes::Layers PipelineShapes::LayersIn(const Box& box) const {
  const bool kept = take_ == Take::kKept;
  const int64_t in_flight = box.least_sequences == 1 ? 1 : box.least_sequences * box.least_stages;
  const int64_t kv_bytes = classes_.KvBytes(in_flight);
  Layers layers;
  double first_loss = kDoesNotFit;
  double last_loss = kDoesNotFit;
  for (int cls = 0; cls < classes_.size(); ++cls) {
    const StageSeconds& seconds = classes_.At(box.least_sequences).of_class[cls];
    const StageRoom room =
        classes_.RoomFor(kv_bytes, kept ? classes_.least_room(cls) : classes_.most_room(cls));
    int& most = layers.most.emplace_back(0);
    if (box.reach == PipelineReach::kDevice) {
      if (room.whole && seconds.whole <= box.most_cycle) most = cost_.num_layers();
      continue;
    }
    if (!MayTakePart(cls, seconds, box.reach, box.most_cycle)) continue;
    const double cycle = box.most_cycle - (kept ? LinkOf(seconds, box.reach) : 0);
    most = std::min(room.middle, LongestWithin(seconds.middle, cycle));
    const int first = std::min(room.first, LongestWithin(seconds.first, cycle));
    const int last = std::min(room.last, LongestWithin(seconds.last, cycle));
    if (first > 0) first_loss = std::min<double>(first_loss, most - first);
    if (last > 0) last_loss = std::min<double>(last_loss, most - last);
  }
  layers.wanted = cost_.num_layers();
  if (box.reach != PipelineReach::kDevice) layers.wanted += first_loss + last_loss;
  return layers;
}

void PipelineShapes::MakeRoots() {
  const int64_t batch = cost_.limits().max_batch_sequences;
  double least_cycle = kDoesNotFit;
  double most_cycle = 0;
  int devices = 0;
  for (int cls = 0; cls < classes_.size(); ++cls) {
    const StageSeconds& quick = classes_.At(1).of_class[cls];
    const StageSeconds& slow = classes_.At(batch).of_class[cls];
    least_cycle =
        std::min({least_cycle, quick.first[1], quick.middle[1], quick.last[1], quick.whole});
    most_cycle = std::max(most_cycle, slow.whole + slow.link);
    if (slow.to_others != kDoesNotFit) most_cycle = std::max(most_cycle, slow.to_others);
    devices += static_cast<int>(classes_.devices(cls).size());
  }
  const auto add = [&](PipelineReach reach, int most_stages) {
    const int least_stages = reach == PipelineReach::kDevice ? 1 : 2;
    most_stages = std::min(most_stages, cost_.num_layers());
    if (most_stages < least_stages) return;
    roots_.push_back(std::make_unique<Box>(
        Box{reach, 1, batch, least_stages, most_stages, least_cycle, most_cycle}));
    roots_.back()->layers = LayersIn(*roots_.back());
  };
  add(PipelineReach::kDevice, 1);
  add(PipelineReach::kPort, classes_.largest_port());
  add(PipelineReach::kPorts, devices);
}

void PipelineShapes::Halve(Box& box) const {
  const auto copy = [&box] {
    return std::make_unique<Box>(Box{box.reach, box.least_sequences, box.most_sequences,
                                     box.least_stages, box.most_stages, box.least_cycle,
                                     box.most_cycle});
  };
  box.lower = copy();
  box.upper = copy();
  if (box.cycle_width() >= std::max(box.sequences_width(), box.stages_width())) {
    box.lower->most_cycle = box.upper->least_cycle = std::sqrt(box.least_cycle * box.most_cycle);
  } else if (box.sequences_width() >= box.stages_width()) {
    box.lower->most_sequences = (box.least_sequences + box.most_sequences) / 2;
    box.upper->least_sequences = box.lower->most_sequences + 1;
  } else {
    box.lower->most_stages = (box.least_stages + box.most_stages) / 2;
    box.upper->least_stages = box.lower->most_stages + 1;
  }
  for (Box* half : {box.lower.get(), box.upper.get()}) {
    half->layers = LayersIn(*half);
    half->fee = box.fee;
  }
}

PipelineShapes::Cheapest PipelineShapes::FindCheapest(const std::vector<double>& prices,
                                                      const std::vector<double>& numbers) {
  if (roots_.empty()) MakeRoots();
  const auto dearer = [](const Box* a, const Box* b) { return a->price > b->price; };
  std::priority_queue<Box*, std::vector<Box*>, decltype(dearer)> boxes(dearer);
  Cheapest cheapest;
  double most = kDoesNotFit;  // dearer ones are not looked for
  const auto add = [&](Box& box) {
    if (box.layers.wanted == kDoesNotFit) return;
    const Knapsack knapsack(box.layers.most, box.layers.wanted, box.most_stages, prices, numbers);
    if (!knapsack.Feasible()) return;
    const double rate = box.most_tokens_per_second();
    box.price = knapsack.Least(most * rate, box.fee, /*devices=*/nullptr) / rate;
    if (box.price < most) boxes.push(&box);
  };
  for (const auto& root : roots_) add(*root);
  int steps = 0;
  while (!boxes.empty() && steps < kMaxStepsBeyond && cheapest.pipelines.size() < kMaxCheapest) {
    Box& box = *boxes.top();
    boxes.pop();
    if (box.IsOneShape()) {
      if (cheapest.pipelines.empty()) cheapest.price = box.price;
      most = kAboutCheapest * cheapest.price;
      ShapedPipeline& found = cheapest.pipelines.emplace_back();
      found.shape = {box.reach, box.most_sequences, box.most_stages, box.most_cycle};
      Knapsack(box.layers.most, box.layers.wanted, box.most_stages, prices, numbers)
          .Least(kDoesNotFit, box.fee, &found.devices);
      continue;
    }
    if (!cheapest.pipelines.empty()) ++steps;
    if (box.lower == nullptr) Halve(box);
    add(*box.lower);
    add(*box.upper);
  }
  return cheapest;
}

}  // namespace layercake
