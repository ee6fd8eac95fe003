#include "coordinator/placement/pipeline_shapes.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "coordinator/placement/pipeline_knapsack.h"

namespace layercake {
namespace {

// Cycles that differ by less are one.
constexpr double kSameCycle = 0.004;
// A deeper pipeline costs about half as much as is lost by a slower one.
constexpr double kWeightOfStages = 0.5;
// How far is looked each time.
struct Effort {
  // Beyond the cheapest: so many, at most so much dearer, in so many steps.
  size_t most_cheapest;
  double about_cheapest;
  int steps_beyond;
  // Shapes that are priced with whole devices; what is dearer with parts already, is not.
  int most_whole;
};
constexpr Effort kForBounds = {20, 1.05, 300, 300};
constexpr Effort kForAdvice = {6, 1.02, 100, 60};

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
  std::vector<DeviceShare> shares;  // of each class
  // Layers: all, and what a first and a last stage take less than others; kDoesNotFit: nothing can
  // be first, or last.
  PipelineDemand demand;
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
  int most_devices;  // that it could reach

  Layers layers;
  double price = 0;             // for each of the tokens/s, at least
  PipelineKnapsack::Fees fees;  // the best so far, for time
  PipelineKnapsack::Fees room_fees;
  int call = 0;               // the last that priced it with whole devices
  std::vector<double> whole;  // these, of each class
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

struct PipelineShapes::Prices {
  const std::vector<double>& of_device;  // of each class
  const std::vector<double>& numbers;
  double fee;
  double bonus;

  double Worth(const Box& box) const { return box.most_tokens_per_second() + bonus; }
};

PipelineShapes::PipelineShapes(const CostModel& cost, const DeviceClasses& classes, Take take,
                               Devices devices)
    : cost_(cost), classes_(classes), take_(take), devices_(devices) {}

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

// A pipeline over several ports takes a link to each, one within a port links there, and must find
// room: none of them may exceed its cycle.
bool PipelineShapes::MayTakePart(int cls, const StageSeconds& seconds, PipelineReach reach,
                                 double cycle) const {
  if (reach == PipelineReach::kPort) {
    return classes_.port_may_hold_all(cls) && seconds.within_port <= cycle;
  }
  return reach == PipelineReach::kDevice || seconds.to_others <= cycle;
}

// Sequences that have KV room. Where a step is one, pipelines that are built come out with as many
// as there is room for.
int64_t PipelineShapes::InFlight(int64_t sequences, int stages) const {
  return sequences == 1 && take_ == Take::kKept ? 1 : sequences * stages;
}

int PipelineShapes::MostLayers(const PipelineShape& shape, int device, StageRole role) const {
  const int cls = classes_.class_of(device);
  const StageSeconds& seconds = classes_.At(shape.sequences).of_class[cls];
  if (!MayTakePart(cls, seconds, shape.reach, shape.cycle)) return 0;
  const int64_t in_flight = InFlight(shape.sequences, shape.stages);
  const double link = take_ == Take::kKept ? LinkOf(seconds, shape.reach) : 0;
  const double cycle = shape.cycle - link;
  const StageRoom room = classes_.RoomFor(classes_.KvBytes(in_flight), classes_.room(device));
  if (role == kFirstStage) return std::min(LongestWithin(seconds.first, cycle), room.first);
  if (role == kLastStage) return std::min(LongestWithin(seconds.last, cycle), room.last);
  return std::min(LongestWithin(seconds.middle, cycle), room.middle);
}

// At the least sequences and stages, and the most cycle: no shape of the box takes more.
PipelineShapes::Layers PipelineShapes::LayersIn(const Box& box) const {
  const bool kept = take_ == Take::kKept;
  const int64_t kv_bytes = classes_.KvBytes(InFlight(box.least_sequences, box.least_stages));
  Layers layers;
  double first_loss = kDoesNotFit;
  double last_loss = kDoesNotFit;
  const bool linked = box.reach != PipelineReach::kDevice;
  for (int cls = 0; cls < classes_.size(); ++cls) {
    const StageSeconds& seconds = classes_.At(box.least_sequences).of_class[cls];
    const StageRoom room =
        classes_.RoomFor(kv_bytes, kept ? classes_.least_room(cls) : classes_.most_room(cls));
    DeviceShare& share = layers.shares.emplace_back();
    if (!linked) {
      if (room.whole && seconds.whole <= box.most_cycle) share.most_layers = cost_.num_layers();
      continue;
    }
    if (!MayTakePart(cls, seconds, box.reach, box.most_cycle)) continue;
    const double link = LinkOf(seconds, box.reach);
    const double cycle = box.most_cycle - (kept ? link : 0);
    const int most = std::min(room.middle, LongestWithin(seconds.middle, cycle));
    const int first = std::min(room.first, LongestWithin(seconds.first, cycle));
    const int last = std::min(room.last, LongestWithin(seconds.last, cycle));
    share.most_layers = most;
    share.overhead =
        link + std::min({seconds.first_overhead, seconds.middle_overhead, seconds.last_overhead});
    share.per_layer = seconds.per_layer;
    share.roles[kFirstStage] = {first, seconds.first_overhead + link};
    share.roles[kMiddleStage] = {most, seconds.middle_overhead + link};
    share.roles[kLastStage] = {last, seconds.last_overhead + link};
    if (first > 0) first_loss = std::min<double>(first_loss, most - first);
    if (last > 0) last_loss = std::min<double>(last_loss, most - last);
    const double entry =
        box.reach == PipelineReach::kPort ? seconds.within_port : seconds.longest_entry;
    layers.demand.free_seconds =
        std::max(layers.demand.free_seconds, std::min(entry, box.most_cycle));
  }
  layers.demand.layers = cost_.num_layers() + (linked ? first_loss + last_loss : 0);
  layers.demand.devices = box.most_stages;
  if (!linked || kept) return layers;
  layers.demand.cycle = box.most_cycle;
  if (box.least_sequences == 1) {
    // In all, stages and links take no more than a cycle for each step in flight.
    layers.demand.devices = box.most_devices;
    layers.demand.cycle = 0;
    layers.demand.free_seconds += box.most_cycle * box.most_stages;
  }
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
    most_stages = std::min(most_stages, cost_.num_layers());
    const int least_devices = reach == PipelineReach::kDevice ? 1 : 2;
    if (most_stages < least_devices) return;
    const int least_stages = take_ == Take::kKept ? least_devices : 1;
    roots_.push_back(std::make_unique<Box>(
        Box{reach, 1, batch, least_stages, most_stages, least_cycle, most_cycle, most_stages}));
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
                                     box.most_cycle, box.most_devices});
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
    half->fees = box.fees;
    half->room_fees = box.room_fees;
  }
}

// False: there is no pipeline.
//   enough: a dearer price need not be found.
bool PipelineShapes::PriceInParts(Box& box, const Prices& prices, double enough) const {
  if (box.layers.demand.layers == kDoesNotFit) return false;
  const double worth = prices.Worth(box);
  enough = enough * worth - prices.fee;
  // What the ends take less is no layer that takes time: so either counts, the more of both.
  PipelineDemand demand = box.layers.demand;
  demand.cycle = kDoesNotFit;
  PipelineKnapsack of_room(box.layers.shares, demand, prices.of_device, prices.numbers);
  if (!of_room.Feasible()) return false;
  double least = of_room.LeastPrice(enough, box.room_fees);
  if (box.layers.demand.cycle != kDoesNotFit && least < enough) {
    demand = box.layers.demand;
    demand.layers = std::min<double>(demand.layers, cost_.num_layers());
    PipelineKnapsack of_time(box.layers.shares, demand, prices.of_device, prices.numbers);
    least = std::max(least, of_time.LeastPrice(enough, box.fees));
  }
  box.price = (least + prices.fee) / worth;
  return true;
}

// With the fees that are best for parts. Two devices at least.
bool PipelineShapes::PriceWhole(Box& box, const Prices& prices) const {
  const PipelineDemand& demand = box.layers.demand;
  const auto price = [&](const PipelineKnapsack::Fees& fees) {
    std::vector<DeviceOffer> offers;
    for (size_t cls = 0; cls < box.layers.shares.size(); ++cls) {
      const DeviceShare& share = box.layers.shares[cls];
      DeviceOffer& offer = offers.emplace_back();
      offer.number = static_cast<int>(prices.numbers[cls]);
      offer.cost_per_layer = fees.second * share.per_layer;
      for (const StageRole role : {kFirstStage, kMiddleStage, kLastStage}) {
        double cost = prices.of_device[cls] + fees.device;
        if (fees.second > 0) cost += fees.second * (share.roles[role].overhead - demand.cycle);
        offer.roles[role] = {share.roles[role].most_layers, cost};
      }
    }
    std::optional<WholeDevices> found = CheapestDevices(offers, cost_.num_layers());
    if (!found.has_value()) return false;
    found->cost -= fees.device * demand.devices + fees.second * demand.free_seconds;
    const double each = (found->cost + prices.fee) / prices.Worth(box);
    if (box.call != calls_ || each > box.price) box.whole = std::move(found->numbers);
    box.call = calls_;
    box.price = std::max(box.price, each);
    return true;
  };
  if (!price({.device = box.room_fees.device})) return false;
  return demand.cycle == kDoesNotFit || box.fees.second == 0 || price(box.fees);
}

PipelineShapes::Cheapest PipelineShapes::FindCheapest(const std::vector<double>& prices,
                                                      const std::vector<double>& numbers,
                                                      double fee, double bonus) {
  if (roots_.empty()) MakeRoots();
  ++calls_;
  const Prices all = {prices, numbers, fee, bonus};
  const auto dearer = [](const Box* a, const Box* b) { return a->price > b->price; };
  std::priority_queue<Box*, std::vector<Box*>, decltype(dearer)> boxes(dearer);
  Cheapest cheapest;
  double most = kDoesNotFit;  // dearer ones are not looked for
  const auto add = [&](Box& box) {
    if (PriceInParts(box, all, most) && box.price < most) boxes.push(&box);
  };
  for (const auto& root : roots_) add(*root);
  int steps = 0;
  const Effort& effort = take_ == Take::kKept ? kForAdvice : kForBounds;
  int left = effort.most_whole;
  while (!boxes.empty() && steps < effort.steps_beyond &&
         cheapest.pipelines.size() < effort.most_cheapest) {
    Box& box = *boxes.top();
    boxes.pop();
    if (box.IsOneShape() && devices_ == Devices::kWhole && box.call != calls_ &&
        box.reach != PipelineReach::kDevice && left > 0) {
      --left;
      if (PriceWhole(box, all) && box.price < most) boxes.push(&box);
      continue;
    }
    if (box.IsOneShape()) {
      if (cheapest.pipelines.empty()) cheapest.price = box.price;
      most = effort.about_cheapest * cheapest.price;
      ShapedPipeline& found = cheapest.pipelines.emplace_back();
      found.shape = {box.reach, box.most_sequences, box.most_stages, box.most_cycle};
      found.devices = box.call == calls_
                          ? box.whole
                          : PipelineKnapsack(box.layers.shares, box.layers.demand, prices, numbers)
                                .Devices(box.fees);
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
