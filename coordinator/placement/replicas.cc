#include "coordinator/placement/replicas.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "coordinator/placement/device_sets.h"
#include "coordinator/placement/device_states.h"

namespace layercake {
namespace {

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

int MostReplicas(const std::vector<Worth>& worths, int num_layers) {
  int64_t layers = 0;
  for (const Worth& worth : worths) layers += worth.layers;
  return static_cast<int>(layers / num_layers);
}

SearchSpace Only(const SearchSpace& space, std::vector<int> devices) {
  return {space.times, space.links, std::move(devices)};
}

void Sort(Replicas& replicas) {
  std::stable_sort(replicas.pipelines.begin(), replicas.pipelines.end(),
                   [](const Pipeline& a, const Pipeline& b) { return a.cycle() < b.cycle(); });
}

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

}  // namespace

double ReplicaRateBound(const SearchSpace& space) {
  double rate = 0;
  for (const Worth& worth : WorthsOf(space)) rate += worth.rate;
  return rate;
}

int MostReplicas(const SearchSpace& space) {
  return MostReplicas(WorthsOf(space), space.times.num_layers());
}

bool AnyDivision(const SearchSpace& space, int number) {
  const std::vector<Worth> worths = WorthsOf(space);
  if (MostReplicas(worths, space.times.num_layers()) < number) return false;
  std::vector<double> rooms;
  for (const Worth& worth : worths) rooms.push_back(worth.layers);
  const auto fits = [&space](const std::vector<int>& part) {
    return !part.empty() && AnyPipeline(Only(space, part));
  };
  const std::vector<std::vector<int>> dealt = Deal(space, rooms, number);
  if (std::all_of(dealt.begin(), dealt.end(), fits)) return true;
  const auto sets = DeviceSets::Of(InterchangeableDevices(space), kMaxPairsToDivide);
  if (!sets.has_value()) return false;
  // What may fit is divided, until a division fits.
  constexpr double kNever = -1;
  std::vector<double> values(sets->size(), 1);
  for (int set = 1; set < sets->size(); ++set) {
    if (!MayFit(Only(space, sets->devices(set)))) values[set] = kNever;
  }
  while (const auto division = sets->Divide(values, number)) {
    const auto misfit = std::find_if_not(division->sets.begin(), division->sets.end(),
                                         [&](int set) { return fits(sets->devices(set)); });
    if (misfit == division->sets.end()) return true;
    // Nor does it fit on fewer devices.
    for (int set = 1; set < sets->size(); ++set) {
      if (sets->contains(*misfit, set)) values[set] = kNever;
    }
  }
  return false;
}

Divisions DivideDevices(const SearchSpace& space, int wanted) {
  const std::vector<Worth> all = WorthsOf(space);
  std::vector<double> rates;
  std::vector<double> rooms;
  for (const Worth& worth : all) {
    rates.push_back(worth.rate);
    rooms.push_back(worth.layers);
  }
  const int most = MostReplicas(all, space.times.num_layers());
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
