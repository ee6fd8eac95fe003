#include <algorithm>
#include <cstdint>
#include <numeric>

#include "coordinator/placement/exact_search.h"

namespace layercake {
namespace {

// So many candidates are sorted rather than halved further.
constexpr size_t kFewValues = 4096;

// Sets of numbers of layers placed, 1 .. num_layers, a bit each.
class Prefixes {
 public:
  Prefixes(size_t num_sets, int num_layers)
      : words_((num_layers + 63) / 64), bits_(num_sets * words_, 0) {}

  size_t words() const { return words_; }
  uint64_t* operator[](size_t set) { return &bits_[set * words_]; }

 private:
  size_t words_;
  std::vector<uint64_t> bits_;
};

void Insert(uint64_t* prefixes, int layers) {
  prefixes[(layers - 1) / 64] |= uint64_t{1} << ((layers - 1) % 64);
}

bool Contains(const uint64_t* prefixes, int layers) {
  return (prefixes[(layers - 1) / 64] >> ((layers - 1) % 64) & 1) != 0;
}

class Reach {
 public:
  Reach(const SearchSpace& space, const DeviceStates& states, double period)
      : space_(space),
        states_(states),
        period_(period),
        num_layers_(space.times.num_layers()),
        ends_(static_cast<size_t>(states.num_kinds()) * num_layers_, num_layers_),
        most_(states.num_kinds(), 0),
        reached_(states.num_states(), num_layers_),
        before_(1, num_layers_) {
    for (int kind = 0; kind < states.num_kinds(); ++kind) FindEnds(kind);
  }

  bool Run() {
    int set = -1;
    int still = 0;
    for (int state = 0; state < states_.num_states(); ++state) {
      if (!states_.exists(state)) continue;
      if (states_.set(state) != set) {
        set = states_.set(state);
        still = MostLeft(set);
      }
      if (Extend(state, std::max(0, num_layers_ - still))) return true;
    }
    return false;
  }

 private:
  // Where stages on a device of `kind` can end that start at each layer.
  void FindEnds(int kind) {
    const int device = states_.devices(kind)[0];
    for (int first = 0; first < num_layers_; ++first) {
      for (int count = 1; first + count <= num_layers_; ++count) {
        const double seconds = space_.times.at(device, first, count);
        if (seconds > period_ || seconds == kDoesNotFit) continue;
        Insert(ends_[kind * num_layers_ + first], first + count);
        most_[kind] = std::max(most_[kind], count);
      }
    }
  }

  // Layers that the devices that may follow `set` can take at most.
  int MostLeft(int set) const {
    int layers = 0;
    for (int kind = 0; kind < states_.num_kinds() && layers < num_layers_; ++kind) {
      layers += states_.left(set, kind) * most_[kind];
    }
    return layers;
  }

  // Whether the state has all layers placed. Prefixes shorter than `least` lead nowhere.
  bool Extend(int state, int least) {
    const int kind = states_.last(state);
    const int device = states_.devices(kind)[0];
    const size_t words = reached_.words();
    uint64_t* const before = before_[0];
    uint64_t* const after = reached_[state];
    const auto add_ends = [&](int first) {
      const uint64_t* ends = ends_[kind * num_layers_ + first];
      for (size_t w = 0; w < words; ++w) after[w] |= ends[w];
    };
    if (states_.first(state)) add_ends(0);
    std::fill(before, before + words, 0);
    states_.ForEachBefore(state, [&](int from) {
      const int last = states_.devices(states_.last(from)).back();
      if (space_.links.at(last, device) > period_) return;
      for (size_t w = 0; w < words; ++w) before[w] |= reached_[from][w];
    });
    const int shortest = least - most_[kind];
    for (size_t w = 0; w < words; ++w) {
      for (uint64_t left = before[w]; left != 0; left &= left - 1) {
        const int first = static_cast<int>(w * 64) + __builtin_ctzll(left) + 1;
        if (first >= shortest && first < num_layers_) add_ends(first);
      }
    }
    return Contains(after, num_layers_);
  }

  const SearchSpace& space_;
  const DeviceStates& states_;
  const double period_;
  const int num_layers_;
  Prefixes ends_;
  std::vector<int> most_;
  Prefixes reached_;
  Prefixes before_;
};

// The stage and link times in (low, high].
std::vector<double> TimesWithin(const SearchSpace& space, const DeviceStates& states, double low,
                                double high) {
  std::vector<double> values;
  const auto add = [&](double seconds) {
    if (seconds > low && seconds <= high && seconds != kDoesNotFit) values.push_back(seconds);
  };
  const int num_layers = space.times.num_layers();
  for (int kind = 0; kind < states.num_kinds(); ++kind) {
    const int device = states.devices(kind)[0];
    for (int first = 0; first < num_layers; ++first) {
      for (int count = 1; first + count <= num_layers; ++count) {
        add(space.times.at(device, first, count));
      }
    }
    for (int other = 0; other < states.num_kinds(); ++other) {
      add(space.links.at(states.devices(other).back(), device));
    }
  }
  return values;
}

}  // namespace

bool ReachesEnd(const SearchSpace& space, const DeviceStates& states, double period) {
  return Reach(space, states, period).Run();
}

double SmallestPeriod(const SearchSpace& space, const DeviceStates& states, double low,
                      double high) {
  if (ReachesEnd(space, states, low)) return low;
  if (!ReachesEnd(space, states, high)) return kDoesNotFit;
  // The period is a stage's or a link's time: the range is halved until few of them are left in it.
  std::vector<double> values = TimesWithin(space, states, low, high);
  if (!values.empty()) high = *std::max_element(values.begin(), values.end());
  while (values.size() > kFewValues) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (ReachesEnd(space, states, middle) ? high : low) = middle;
    std::erase_if(values, [&](double seconds) { return seconds <= low || seconds > high; });
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return *std::partition_point(values.begin(), values.end(),
                               [&](double seconds) { return !ReachesEnd(space, states, seconds); });
}

}  // namespace layercake
