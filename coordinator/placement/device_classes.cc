#include "coordinator/placement/device_classes.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace layercake {
namespace {

constexpr size_t kMaxClasses = 96;
// Traits that differ by less than this share are the same; by more, until classes are few enough.
constexpr double kSameTrait = 0.02;
constexpr double kCoarser = 1.4;

// [n]: the least of [n], [n + 1], ...
template <typename Value>
void TakeLeastOfLonger(std::vector<Value>& values) {
  for (size_t n = values.size() - 1; n-- > 1;) values[n] = std::min(values[n], values[n + 1]);
}

// The line through the shortest and the longest stage, lowered until no stage is below it.
void SetLine(StageSeconds& seconds) {
  const std::vector<double>& middle = seconds.middle;
  size_t longest = middle.size() - 1;
  while (longest > 1 && middle[longest] == kDoesNotFit) --longest;
  if (longest > 1) {
    seconds.per_layer = (middle[longest] - middle[1]) / static_cast<double>(longest - 1);
  }
  const auto overhead_of = [&seconds](const std::vector<double>& stages) {
    double least = kDoesNotFit;
    for (size_t n = 1; n < stages.size(); ++n) {
      least = std::min(least, stages[n] - seconds.per_layer * static_cast<double>(n));
    }
    return least;
  };
  seconds.first_overhead = overhead_of(seconds.first);
  seconds.middle_overhead = overhead_of(seconds.middle);
  seconds.last_overhead = overhead_of(seconds.last);
}

std::vector<double> ToOthers(const LinkTimes& links) {
  std::vector<double> least(links.num_ports(), kDoesNotFit);
  for (int from = 0; from < links.num_ports(); ++from) {
    for (int to = 0; to < links.num_ports(); ++to) {
      if (from == to) continue;
      const double seconds = links.between_ports(from, to);
      least[from] = std::min(least[from], seconds);
      least[to] = std::min(least[to], seconds);
    }
  }
  return least;
}

}  // namespace

DeviceClasses::DeviceClasses(const CostModel& cost, const DeviceSelection& selection,
                             Middles middles)
    : cost_(cost), selection_(selection), middles_(middles), class_of_(selection.devices.size()) {
  FindNeeds();
  const LinkTimes links = selection.links.Times(
      static_cast<double>(cost.ActivationBytes(cost.limits().max_batch_sequences)));
  const StepCosts step = {.links = links, .to_others = ToOthers(links), .of_class = {}};
  port_sizes_.assign(links.num_ports(), 0);
  for (size_t i = 0; i < selection.devices.size(); ++i) ++port_sizes_[links.port(i)];
  const std::vector<std::vector<double>> traits = Traits(step);
  // By trait, the room last.
  std::map<std::vector<int64_t>, std::vector<int>> found;
  for (double width = kSameTrait; found.empty() || found.size() > kMaxClasses; width *= kCoarser) {
    found.clear();
    for (size_t i = 0; i < traits.size(); ++i) {
      std::vector<int64_t> key;
      for (const double trait : traits[i]) key.push_back(std::llround(trait / width));
      found[key].push_back(static_cast<int>(i));
    }
  }
  std::vector<int64_t> but_room;
  int kind = -1;
  for (const auto& [key, devices] : found) {
    if (kind < 0 || !std::equal(key.begin(), key.end() - 1, but_room.begin())) ++kind;
    but_room = key;
    Class& cls = classes_.emplace_back(Class{.devices = devices, .kind = kind});
    for (const int device : devices) {
      const int64_t room = selection.devices[device].usable_bytes();
      class_of_[device] = static_cast<int>(classes_.size()) - 1;
      cls.least_room = device == devices[0] ? room : std::min(cls.least_room, room);
      cls.most_room = std::max(cls.most_room, room);
      cls.port_may_hold_all |= traits[device][0] > 0;
    }
  }
  if (middles == Middles::kMost) TakeMostNeeds();
}

int64_t DeviceClasses::NeedOf(int first, int count) const {
  return cost_.WeightBytes(first, count) + cost_.WorkspaceBytes(first, count);
}

void DeviceClasses::FindNeeds() {
  const int num_layers = cost_.num_layers();
  first_needs_.assign(num_layers, std::numeric_limits<int64_t>::max() / 2);
  middle_needs_ = last_needs_ = first_needs_;
  for (int count = 1; count < num_layers; ++count) {
    first_needs_[count] = NeedOf(0, count);
    last_needs_[count] = NeedOf(num_layers - count, count);
    for (const int first : cost_.unlike_middles()[count]) {
      middle_needs_[count] = std::min(middle_needs_[count], NeedOf(first, count));
    }
  }
  for (auto* needs : {&first_needs_, &middle_needs_, &last_needs_}) TakeLeastOfLonger(*needs);
  whole_needs_ = NeedOf(0, num_layers);
}

void DeviceClasses::TakeMostNeeds() {
  for (int count = 1; count < cost_.num_layers(); ++count) {
    for (const int first : cost_.unlike_middles()[count]) {
      middle_needs_[count] = std::max(middle_needs_[count], NeedOf(first, count));
    }
  }
}

// Of each device, as logarithms: whether its port may hold all, the best link to others, the time
// of a layer in small and large steps, and the room.
std::vector<std::vector<double>> DeviceClasses::Traits(const StepCosts& step) const {
  std::vector<int> held(step.links.num_ports(), 0);
  for (size_t i = 0; i < selection_.devices.size(); ++i) {
    const StageRoom room = RoomFor(KvBytes(1), selection_.devices[i].usable_bytes());
    held[step.links.port(i)] +=
        room.whole ? cost_.num_layers() : std::max({room.first, room.middle, room.last});
  }
  std::vector<std::vector<double>> traits;
  for (size_t i = 0; i < selection_.devices.size(); ++i) {
    const UsableDevice& device = selection_.devices[i];
    const int port = step.links.port(i);
    const double link = step.to_others[port];
    traits.push_back({held[port] >= cost_.num_layers() ? 1e6 : 0,
                      link == kDoesNotFit ? 0 : std::log(link),
                      std::log(cost_.DecodeSeconds(device.crowded_speed, 1, 1, 1)),
                      std::log(cost_.DecodeSeconds(device.crowded_speed, 1, 1,
                                                   cost_.limits().max_batch_sequences)),
                      std::log(static_cast<double>(std::max<int64_t>(1, device.usable_bytes())))});
  }
  return traits;
}

std::vector<std::pair<int, int>> DeviceClasses::Dominating() const {
  std::vector<int> order(classes_.size());
  for (int cls = 0; cls < size(); ++cls) order[cls] = cls;
  std::sort(order.begin(), order.end(), [this](int a, int b) {
    return std::pair(kind(a), most_room(a)) < std::pair(kind(b), most_room(b));
  });
  std::vector<std::pair<int, int>> pairs;
  for (size_t i = 1; i < order.size(); ++i) {
    if (kind(order[i]) == kind(order[i - 1])) pairs.emplace_back(order[i], order[i - 1]);
  }
  return pairs;
}

const StepCosts& DeviceClasses::At(int64_t sequences) const {
  const auto known = steps_.find(sequences);
  if (known != steps_.end()) return known->second;
  return steps_.emplace(sequences, CostsOf(sequences)).first->second;
}

StepCosts DeviceClasses::CostsOf(int64_t sequences) const {
  const LinkTimes links =
      selection_.links.Times(static_cast<double>(cost_.ActivationBytes(sequences)));
  StepCosts step = {.links = links, .to_others = ToOthers(links), .of_class = {}};
  for (const Class& cls : classes_) {
    step.of_class.push_back(SecondsOf(cls.devices, sequences, step));
  }
  return step;
}

StageSeconds DeviceClasses::SecondsOf(const std::vector<int>& devices, int64_t sequences,
                                      const StepCosts& step) const {
  const int num_layers = cost_.num_layers();
  StageSeconds result;
  result.first.assign(num_layers, kDoesNotFit);
  result.middle = result.last = result.first;
  std::vector<const DeviceSpeed*> speeds;
  double link = kDoesNotFit;
  double within = kDoesNotFit;
  for (const int device : devices) {
    const int port = step.links.port(device);
    const double others = step.to_others[port];
    const double inner = port_sizes_[port] > 1 ? step.links.between_ports(port, port) : 0;
    result.to_others = std::min(result.to_others, others);
    if (port_sizes_[port] > 1) within = std::min(within, inner);
    if (others != kDoesNotFit) {
      result.longest_entry = std::max({result.longest_entry, others, inner});
      link =
          std::min({link, others, (others + inner * (port_sizes_[port] - 1)) / port_sizes_[port]});
    }
    const DeviceSpeed& speed = selection_.devices[device].crowded_speed;
    if (std::ranges::none_of(speeds, [&](const DeviceSpeed* known) { return *known == speed; })) {
      speeds.push_back(&speed);
    }
  }
  result.link = link == kDoesNotFit ? 0 : link;
  result.within_port = within == kDoesNotFit ? 0 : within;
  for (const DeviceSpeed* speed : speeds) {
    const auto seconds = [&](int first, int count) {
      return cost_.DecodeSeconds(*speed, first, count, sequences);
    };
    const auto take_least = [](double& least, double value) { least = std::min(least, value); };
    for (int count = 1; count < num_layers; ++count) {
      take_least(result.first[count], seconds(0, count));
      take_least(result.last[count], seconds(num_layers - count, count));
      const std::vector<int>& middles = cost_.unlike_middles()[count];
      if (middles.empty()) continue;
      double middle = seconds(middles[0], count);
      for (const int first : middles) {
        const double other = seconds(first, count);
        middle = middles_ == Middles::kLeast ? std::min(middle, other) : std::max(middle, other);
      }
      take_least(result.middle[count], middle);
    }
    take_least(result.whole, seconds(0, num_layers));
  }
  for (auto* seconds : {&result.first, &result.middle, &result.last}) TakeLeastOfLonger(*seconds);
  SetLine(result);
  return result;
}

int64_t DeviceClasses::KvBytes(int64_t in_flight) const {
  return cost_.BlockBytes(0, 1) *
         std::max(cost_.context_blocks(), in_flight * cost_.sequence_blocks());
}

StageRoom DeviceClasses::RoomFor(int64_t kv_bytes, int64_t room) const {
  const auto most = [&](const std::vector<int64_t>& needs) {
    int count = 0;
    while (count + 1 < cost_.num_layers() && needs[count + 1] + kv_bytes * (count + 1) <= room) {
      ++count;
    }
    return count;
  };
  return {.first = most(first_needs_),
          .middle = most(middle_needs_),
          .last = most(last_needs_),
          .whole = whole_needs_ + kv_bytes * cost_.num_layers() <= room};
}

}  // namespace layercake
