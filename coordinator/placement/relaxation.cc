#include "coordinator/placement/relaxation.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "coordinator/placement/device_states.h"

namespace layercake {
namespace {

constexpr int kSpareDevices = 8;
constexpr double kRounding = 1e-12;
constexpr double kCloseEnough = 1e-4;  // of a bound on cycles
constexpr int64_t kNever = -(int64_t{1} << 40);

// What a kind gains a group by giving it its first or last device.
struct End {
  int kind = -1;
  int64_t gain = kNever;
};

// The two best, of different kinds.
struct BestEnds {
  End best;
  End second;

  void Add(int kind, int64_t gain) {
    if (gain > best.gain) {
      second = best;
      best = {kind, gain};
    } else if (gain > second.gain) {
      second = {kind, gain};
    }
  }
};

}  // namespace

// Ports that links of the period connect, and the layers that their devices can take.
struct Relaxation::Group {
  int num_ports = 0;
  int64_t between = 0;  // layers, all devices between the ends
  BestEnds firsts;
  BestEnds lasts;
  int first = -1;  // kinds of the ends that lose least
  int last = -1;
  int64_t layers = 0;  // with these ends

  void ChooseEnds(const std::vector<RelaxedKind>& kinds) {
    const auto use = [&](const End& a, const End& b) {
      if (a.kind < 0 || b.kind < 0) return;
      if (a.kind == b.kind && kinds[a.kind].devices.size() < 2) return;
      if (between + a.gain + b.gain <= layers) return;
      layers = between + a.gain + b.gain;
      first = a.kind;
      last = b.kind;
    };
    use(firsts.best, lasts.best);
    use(firsts.best, lasts.second);
    use(firsts.second, lasts.best);
  }
};

struct Relaxation::Grouping {
  std::vector<int> group_of_port;
  std::vector<Group> groups;
};

Relaxation::Relaxation(const SearchSpace& space)
    : num_layers_(space.times.num_layers()), links_(space.links) {
  std::vector<double> nearest(links_.num_ports(), -1);
  for (std::vector<int>& devices : InterchangeableDevices(space)) {
    const int port = links_.port(devices[0]);
    const StageEnvelope* envelope = &space.times.envelope(devices[0]);
    kinds_.push_back({.devices = std::move(devices), .port = port, .envelope = envelope});
    nearest[port] = kDoesNotFit;
  }
  // Prim: `nearest` is the link from the tree, -1 for what is in it already or has no device.
  std::vector<int> from(nearest.size(), -1);
  for (int port = kinds_.empty() ? -1 : kinds_[0].port; port >= 0;) {
    if (from[port] >= 0) tree_.push_back({from[port], port, nearest[port]});
    nearest[port] = -1;
    int next = -1;
    for (int other = 0; other < links_.num_ports(); ++other) {
      if (nearest[other] < 0) continue;
      const double link =
          std::min(links_.between_ports(port, other), links_.between_ports(other, port));
      if (link < nearest[other]) {
        nearest[other] = link;
        from[other] = port;
      }
      if (next < 0 || nearest[other] < nearest[next]) next = other;
    }
    port = next;
  }
}

Relaxation::Grouping Relaxation::GroupPorts(double period) const {
  std::vector<int> parent(links_.num_ports());
  std::iota(parent.begin(), parent.end(), 0);
  const auto find = [&parent](int port) {
    while (parent[port] != port) port = parent[port] = parent[parent[port]];
    return port;
  };
  for (const Edge& edge : tree_) {
    if (edge.seconds <= period) parent[find(edge.to)] = find(edge.from);
  }
  Grouping grouping{.groups = std::vector<Group>(parent.size())};
  for (int port = 0; port < links_.num_ports(); ++port) {
    grouping.group_of_port.push_back(find(port));
    ++grouping.groups[find(port)].num_ports;
  }
  for (size_t i = 0; i < kinds_.size(); ++i) {
    const RelaxedKind& kind = kinds_[i];
    Group& group = grouping.groups[grouping.group_of_port[kind.port]];
    if (group.num_ports == 1 && links_.between_ports(kind.port, kind.port) > period) continue;
    const int64_t middle = kind.envelope->middle.Most(period);
    group.between += middle * static_cast<int64_t>(kind.devices.size());
    const int first = kind.envelope->first.Most(period);
    const int last = kind.envelope->last.Most(period);
    if (first > 0) group.firsts.Add(static_cast<int>(i), first - middle);
    if (last > 0) group.lasts.Add(static_cast<int>(i), last - middle);
  }
  for (Group& group : grouping.groups) group.ChooseEnds(kinds_);
  return grouping;
}

bool Relaxation::Holds(double period) const {
  for (const RelaxedKind& kind : kinds_) {
    if (kind.envelope->whole <= period && kind.envelope->whole != kDoesNotFit) return true;
  }
  const Grouping grouping = GroupPorts(period);
  return std::any_of(grouping.groups.begin(), grouping.groups.end(),
                     [this](const Group& group) { return group.layers >= num_layers_; });
}

double Relaxation::PeriodBound() const {
  if (!Holds(kDoesNotFit)) return kDoesNotFit;
  // The bound is one of these.
  std::vector<double> values;
  const auto add = [&values](double seconds) {
    if (seconds != kDoesNotFit) values.push_back(seconds);
  };
  std::set<const StageEnvelope*> added;
  for (const RelaxedKind& kind : kinds_) {
    add(links_.between_ports(kind.port, kind.port));
    if (!added.insert(kind.envelope).second) continue;
    for (int count = 1; count < num_layers_; ++count) {
      add(kind.envelope->first.seconds[count]);
      add(kind.envelope->middle.seconds[count]);
      add(kind.envelope->last.seconds[count]);
    }
    add(kind.envelope->whole);
  }
  for (const Edge& edge : tree_) add(edge.seconds);
  while (values.size() > 1) {
    const auto middle = values.begin() + static_cast<int64_t>(values.size() - 1) / 2;
    std::nth_element(values.begin(), middle, values.end());
    if (Holds(*middle)) {
      values.erase(middle + 1, values.end());
    } else {
      values.erase(values.begin(), middle + 1);
    }
  }
  return values[0];
}

// A pipeline of S stages that take no longer than a cycle C has a cycle of at most C if its stages
// and links take at most S * C. Each stage is entered over no less than the quickest link to its
// port, but the first; of n layers it takes at least n times the least share of a layer. What is
// least under these conditions is a linear program: the layers that cost least come first.
//   link_to: each port, the quickest.
bool Relaxation::CyclesIn(double cycle, const std::vector<double>& link_to) const {
  struct Layers {
    double seconds;  // each, with links and less a cycle for each stage
    double count;
  };
  std::vector<Layers> layers;
  double spared = 0;
  for (const RelaxedKind& kind : kinds_) {
    const StageEnvelope& quickest = *kind.envelope;
    const double most = std::max(
        {quickest.first.Most(cycle), quickest.middle.Most(cycle), quickest.last.Most(cycle)});
    if (most == 0) continue;
    const auto devices = static_cast<double>(kind.devices.size());
    const double stage = link_to[kind.port] - cycle;
    spared = std::max(spared, link_to[kind.port]);
    // A stage that costs is as long as it can be, one that gains has a layer at least.
    if (stage >= 0) {
      layers.push_back({quickest.per_layer + stage / most, most * devices});
    } else {
      layers.push_back({quickest.per_layer + stage, devices});
      layers.push_back({quickest.per_layer, (most - 1) * devices});
    }
  }
  std::sort(layers.begin(), layers.end(),
            [](const Layers& a, const Layers& b) { return a.seconds < b.seconds; });
  double sum = -spared;
  double left = num_layers_;
  for (const Layers& some : layers) {
    const double count = std::min(left, some.count);
    sum += count * some.seconds;
    left -= count;
  }
  return left == 0 && sum <= cycle * kRounding;
}

double Relaxation::CycleBound() const {
  const double period = PeriodBound();
  if (period == 0 || period == kDoesNotFit) return period;
  std::vector<double> link_to(links_.num_ports(), kDoesNotFit);
  for (const RelaxedKind& from : kinds_) {
    for (const RelaxedKind& to : kinds_) {
      if (&from == &to && from.devices.size() < 2) continue;
      link_to[to.port] = std::min(link_to[to.port], links_.between_ports(from.port, to.port));
    }
  }
  if (CyclesIn(period, link_to)) return period;
  double whole = kDoesNotFit;
  for (const RelaxedKind& kind : kinds_) whole = std::min(whole, kind.envelope->whole);
  double below = period;
  double above = 2 * period;
  while (above < whole && !CyclesIn(above, link_to)) {
    below = above;
    above *= 2;
  }
  above = std::min(above, whole);
  while (above - below > below * kCloseEnough) {
    const double middle = below + (above - below) / 2;
    (CyclesIn(middle, link_to) ? above : below) = middle;
  }
  return below;
}

std::optional<RelaxedPlacement> Relaxation::LeastSum(double period, double reward) const {
  return LeastRelaxedSum(kinds_, links_, num_layers_, period, reward);
}

std::vector<int> Relaxation::MostLayers(double period) const {
  for (const RelaxedKind& kind : kinds_) {
    if (kind.envelope->whole <= period && kind.envelope->whole != kDoesNotFit) {
      return {kind.devices[0]};
    }
  }
  const Grouping grouping = GroupPorts(period);
  const auto best =
      std::max_element(grouping.groups.begin(), grouping.groups.end(),
                       [](const Group& a, const Group& b) { return a.layers < b.layers; });
  if (best->layers < num_layers_) return {};
  std::vector<std::pair<int, int>> middles;  // layers, device
  const int first = kinds_[best->first].devices.front();
  const int last = kinds_[best->last].devices.back();
  for (const RelaxedKind& kind : kinds_) {
    if (&grouping.groups[grouping.group_of_port[kind.port]] != &*best) continue;
    const int layers = kind.envelope->middle.Most(period);
    for (const int device : kind.devices) {
      if (layers > 0 && device != first && device != last) middles.emplace_back(layers, device);
    }
  }
  std::stable_sort(middles.begin(), middles.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<int> devices = {first};
  int64_t placed = kinds_[best->first].envelope->first.Most(period) +
                   kinds_[best->last].envelope->last.Most(period);
  int spare = kSpareDevices;
  for (const auto& [layers, device] : middles) {
    if (placed >= num_layers_ && spare-- == 0) break;
    devices.push_back(device);
    placed += layers;
  }
  devices.push_back(last);
  return devices;
}

}  // namespace layercake
