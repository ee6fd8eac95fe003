#include "coordinator/placement/replicas.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "coordinator/placement/device_states.h"

namespace layercake {
namespace {

// Rates equal to this much are the same.
constexpr double kSameRate = 1e-9;

// What a device can add to any division.
struct Worth {
  double rate = 0;  // steps a second, at its best number of layers
  int layers = 0;   // at most
};

Worth WorthOf(const StageTimes& times, int device) {
  Worth worth;
  for (int first = 0; first < times.num_layers(); ++first) {
    for (int count = 1; first + count <= times.num_layers(); ++count) {
      const double seconds = times.at(device, first, count);
      if (seconds == kDoesNotFit) continue;
      worth.rate = std::max(worth.rate, count / seconds / times.num_layers());
      worth.layers = std::max(worth.layers, count);
    }
  }
  return worth;
}

// Of each device of the space, those of one row and room reckoned once.
std::vector<Worth> WorthsOf(const SearchSpace& space) {
  std::map<std::pair<int, int64_t>, Worth> known;
  std::vector<Worth> worths;
  for (const int device : space.devices) {
    const auto [found, added] =
        known.try_emplace({space.times.row(device), space.times.room(device)});
    if (added) found->second = WorthOf(space.times, device);
    worths.push_back(found->second);
  }
  return worths;
}

SearchSpace Only(const SearchSpace& space, std::vector<int> devices) {
  return {space.times, space.links, std::move(devices)};
}

void Sort(Replicas& replicas) {
  std::stable_sort(replicas.pipelines.begin(), replicas.pipelines.end(),
                   [](const Pipeline& a, const Pipeline& b) { return a.cycle() < b.cycle(); });
}

// Tries every division: the best pipeline of every set of kinds, then the best sum over disjoint
// sets.
class EveryDivision {
 public:
  EveryDivision(const SearchSpace& space, const DeviceStates& sets) : space_(space), sets_(sets) {
    for (int set = 1; set < sets.num_sets(); ++set) {
      pipelines_.push_back(MinimiseCycle(Only(space, DevicesOf(set))));
    }
  }

  // best[n][set]: the highest rate of n pipelines on the devices of the set.
  Divisions Run(int wanted) {
    const int most = wanted > 0 ? wanted : static_cast<int>(space_.devices.size());
    std::vector<std::vector<double>> best(1, std::vector<double>(sets_.num_sets(), 0));
    std::vector<std::vector<int>> chosen(1);
    const auto all = static_cast<size_t>(sets_.num_sets() - 1);
    Divisions divisions;
    for (int n = 1; n <= most; ++n) {
      best.emplace_back(sets_.num_sets(), -1);
      chosen.emplace_back(sets_.num_sets(), 0);
      for (int set = 1; set < sets_.num_sets(); ++set) Divide(set, best[n - 1], best[n], chosen[n]);
      if (best[n][all] < 0) break;
      if (wanted > 0 && n != wanted) continue;
      divisions.by_number.push_back(TraceBack(chosen, n, best[n][all]));
      divisions.bound = std::max(divisions.bound, best[n][all]);
    }
    return divisions;
  }

 private:
  std::vector<int> DevicesOf(int set) const {
    std::vector<int> devices;
    for (int kind = 0; kind < sets_.num_kinds(); ++kind) {
      const int count = sets_.count(set, kind);
      devices.insert(devices.end(), sets_.devices(kind).begin(),
                     sets_.devices(kind).begin() + count);
    }
    std::sort(devices.begin(), devices.end());
    return devices;
  }

  bool Contains(int set, int part) const {
    for (int kind = 0; kind < sets_.num_kinds(); ++kind) {
      if (sets_.count(part, kind) > sets_.count(set, kind)) return false;
    }
    return true;
  }

  void Divide(int set, const std::vector<double>& fewer, std::vector<double>& best,
              std::vector<int>& chosen) const {
    for (int part = 1; part <= set; ++part) {
      const std::optional<Pipeline>& pipeline = pipelines_[part - 1];
      if (!pipeline.has_value() || !Contains(set, part) || fewer[set - part] < 0) continue;
      const double rate = fewer[set - part] + 1 / pipeline->cycle();
      if (rate <= best[set] * (1 + kSameRate)) continue;
      best[set] = rate;
      chosen[set] = part;
    }
  }

  Replicas TraceBack(const std::vector<std::vector<int>>& chosen, int number, double rate) const {
    Replicas replicas{.rate = rate};
    std::vector<int> taken(sets_.num_kinds(), 0);
    int set = sets_.num_sets() - 1;
    for (int n = number; n > 0; --n) {
      const int part = chosen[n][set];
      replicas.pipelines.push_back(OnFreeDevices(*pipelines_[part - 1], part, taken));
      set -= part;
    }
    Sort(replicas);
    return replicas;
  }

  // The pipeline of `part` on the next free devices of each kind.
  Pipeline OnFreeDevices(Pipeline pipeline, int part, std::vector<int>& taken) const {
    std::map<int, int> other;
    for (int kind = 0; kind < sets_.num_kinds(); ++kind) {
      const std::vector<int>& devices = sets_.devices(kind);
      for (int i = 0; i < sets_.count(part, kind); ++i) other[devices[i]] = devices[taken[kind]++];
    }
    for (StageChoice& stage : pipeline.stages) stage.device = other.at(stage.device);
    return pipeline;
  }

  const SearchSpace& space_;
  const DeviceStates& sets_;
  std::vector<std::optional<Pipeline>> pipelines_;
};

// Devices that are dealt out together: those of a port, or one.
struct Hand {
  std::vector<int> devices;
  double worth = 0;
};

// Deals the devices out to `number` pipelines, the worthiest hand to the one that has least.
std::vector<std::vector<int>> Deal(const SearchSpace& space, const std::vector<double>& worths,
                                   int number) {
  std::map<int, Hand> by_port;
  for (size_t i = 0; i < space.devices.size(); ++i) {
    Hand& hand = by_port[space.links.port(space.devices[i])];
    hand.devices.push_back(space.devices[i]);
    hand.worth += worths[i];
  }
  std::vector<Hand> hands;
  const bool whole_ports = by_port.size() >= 2 * static_cast<size_t>(number);
  for (const auto& [port, hand] : by_port) {
    if (whole_ports) hands.push_back(hand);
  }
  for (size_t i = 0; i < space.devices.size() && !whole_ports; ++i) {
    hands.push_back({.devices = {space.devices[i]}, .worth = worths[i]});
  }
  std::stable_sort(hands.begin(), hands.end(),
                   [](const Hand& a, const Hand& b) { return a.worth > b.worth; });
  std::vector<Hand> dealt(number);
  for (const Hand& hand : hands) {
    Hand& least = *std::min_element(dealt.begin(), dealt.end(),
                                    [](const Hand& a, const Hand& b) { return a.worth < b.worth; });
    least.devices.insert(least.devices.end(), hand.devices.begin(), hand.devices.end());
    least.worth += hand.worth;
  }
  std::vector<std::vector<int>> parts;
  for (Hand& hand : dealt) {
    std::sort(hand.devices.begin(), hand.devices.end());
    parts.push_back(std::move(hand.devices));
  }
  return parts;
}

std::optional<Replicas> OnParts(const SearchSpace& space,
                                const std::vector<std::vector<int>>& parts) {
  Replicas replicas;
  for (const std::vector<int>& part : parts) {
    if (part.empty()) return std::nullopt;
    std::optional<Pipeline> pipeline = MinimiseCycle(Only(space, part));
    if (!pipeline.has_value()) return std::nullopt;
    replicas.rate += 1 / pipeline->cycle();
    replicas.pipelines.push_back(*std::move(pipeline));
  }
  Sort(replicas);
  return replicas;
}

// Numbers of pipelines that are tried, each by half as many again.
std::vector<int> NumbersToTry(int wanted, int most) {
  if (wanted > 0) return {wanted};
  std::vector<int> numbers;
  for (int number = 1; number <= most; number = std::max(number + 1, number * 3 / 2)) {
    numbers.push_back(number);
  }
  return numbers;
}

// Of devices; nullopt: too many.
std::optional<DeviceStates> SetsToDivide(const SearchSpace& space) {
  std::optional<DeviceStates> sets = DeviceStates::Of(Only(space, space.devices), kMaxExactStates,
                                                      static_cast<int>(space.devices.size()));
  if (sets.has_value() && sets->num_sets() > kMaxSetsToDivide) sets.reset();
  return sets;
}

}  // namespace

double ReplicaRateBound(const SearchSpace& space) {
  double rate = 0;
  for (const Worth& worth : WorthsOf(space)) rate += worth.rate;
  return rate;
}

bool TriesEveryDivision(const SearchSpace& space) { return SetsToDivide(space).has_value(); }

int MostReplicas(const SearchSpace& space) {
  int64_t layers = 0;
  for (const Worth& worth : WorthsOf(space)) layers += worth.layers;
  return static_cast<int>(layers / space.times.num_layers());
}

Divisions DivideDevices(const SearchSpace& space, int wanted) {
  const std::optional<DeviceStates> sets = SetsToDivide(space);
  if (sets.has_value()) return EveryDivision(space, *sets).Run(wanted);
  std::vector<double> rates;
  std::vector<double> rooms;
  for (const Worth& worth : WorthsOf(space)) {
    rates.push_back(worth.rate);
    rooms.push_back(worth.layers);
  }
  const int most = MostReplicas(space);
  Divisions divisions;
  for (const int number : NumbersToTry(wanted, most)) {
    for (const std::vector<double>& worths : {rates, rooms}) {
      std::optional<Replicas> found = OnParts(space, Deal(space, worths, number));
      if (!found.has_value()) continue;
      divisions.by_number.push_back(*std::move(found));
      break;
    }
  }
  if (divisions.by_number.empty()) return divisions;
  // What cannot hold two is bounded as one.
  divisions.bound = most < 2 ? 1 / divisions.by_number[0].pipelines[0].bound
                             : std::accumulate(rates.begin(), rates.end(), 0.0);
  return divisions;
}

}  // namespace layercake
