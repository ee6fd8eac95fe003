#include <algorithm>
#include <cmath>
#include <numeric>

#include "coordinator/placement/exact_search.h"

namespace layercake {
namespace {

// Sums of the same times in another order differ by rounding: a bound is exceeded beyond this.
constexpr double kRounding = 1e-9;
// Of the whole, added for each stage so that of equal sums the one of fewer stages is smaller.
constexpr double kStagePenalty = 1e-12;

// The least that a kind of device can add to a pipeline that goes on with it.
struct KindBound {
  double per_layer = kDoesNotFit;  // of stage and link to it
  int most_layers = 0;
  double for_the_end = kDoesNotFit;  // beyond per_layer, of a stage with the last layer
};

class SumSearch {
 public:
  SumSearch(const SearchSpace& space, const DeviceStates& states, double period, double upper)
      : space_(space),
        states_(states),
        period_(period),
        upper_(upper),
        num_layers_(space.times.num_layers()),
        width_(num_layers_ + 1),
        times_((states.in_order() ? 1 : states.num_kinds()) * width_ * width_, kDoesNotFit),
        rows_(states.num_states()),
        entered_(width_),
        row_(width_),
        rest_(width_) {
    for (int kind = 0; kind < states.num_kinds(); ++kind) bounds_.push_back(BoundOf(kind));
    by_rate_.resize(bounds_.size());
    std::iota(by_rate_.begin(), by_rate_.end(), 0);
    std::stable_sort(by_rate_.begin(), by_rate_.end(),
                     [this](int a, int b) { return bounds_[a].per_layer < bounds_[b].per_layer; });
    penalty_ = kStagePenalty * Scale();
    if (!states.in_order()) {
      for (int kind = 0; kind < states.num_kinds(); ++kind) FillTimes(kind, TimesOf(kind));
    }
  }

  std::optional<std::vector<StageChoice>> Run() {
    int set = -1;
    int best = -1;
    double least = kDoesNotFit;
    for (int state = 0; state < states_.num_states(); ++state) {
      if (!states_.exists(state)) continue;
      if (states_.set(state) != set) {
        set = states_.set(state);
        BoundRest(set);
      }
      Extend(state);
      const double sum = At(state, num_layers_);
      if (sum >= least) continue;
      least = sum;
      best = state;
    }
    if (best < 0) return std::nullopt;
    return TraceBack(best);
  }

 private:
  // The sums of a state for the prefixes [low, high), kept from `offset` on in sums_.
  struct Row {
    int low = 0;
    int high = 0;
    size_t offset = 0;
  };

  double At(int state, int layers) const {
    const Row& row = rows_[state];
    return layers >= row.low && layers < row.high ? sums_[row.offset + layers - row.low]
                                                  : kDoesNotFit;
  }

  double* TimesOf(int kind) {
    return &times_[states_.in_order() ? 0 : static_cast<size_t>(kind) * width_ * width_];
  }

  // Seconds from each prefix to each other, `times[first * width_ + end]`.
  void FillTimes(int kind, double* times) {
    const int device = states_.devices(kind)[0];
    for (int first = 0; first < num_layers_; ++first) {
      for (int count = 1; first + count <= num_layers_; ++count) {
        const double seconds = space_.times.at(device, first, count);
        times[first * width_ + first + count] =
            seconds <= period_ ? seconds - space_.reward + penalty_ : kDoesNotFit;
      }
    }
  }

  double LinkTo(int device, int from_kind) const {
    const double seconds = space_.links.at(states_.devices(from_kind).back(), device);
    return seconds <= period_ ? seconds : kDoesNotFit;
  }

  KindBound BoundOf(int kind) const {
    const int device = states_.devices(kind)[0];
    double link = kDoesNotFit;
    for (int other = 0; other < states_.num_kinds(); ++other) {
      const bool precedes =
          states_.in_order() ? other < kind : other != kind || states_.devices(kind).size() > 1;
      if (precedes) link = std::min(link, LinkTo(device, other));
    }
    KindBound bound;
    if (link == kDoesNotFit) return bound;
    for (int first = 1; first < num_layers_; ++first) {
      for (int count = 1; first + count <= num_layers_; ++count) {
        const double seconds = space_.times.at(device, first, count);
        if (seconds > period_ || seconds == kDoesNotFit) continue;
        bound.per_layer = std::min(bound.per_layer, (seconds - space_.reward + link) / count);
        bound.most_layers = std::max(bound.most_layers, count);
      }
    }
    for (int count = 1; count < num_layers_; ++count) {
      const double seconds = space_.times.at(device, num_layers_ - count, count);
      if (seconds > period_ || seconds == kDoesNotFit) continue;
      bound.for_the_end =
          std::min(bound.for_the_end, seconds - space_.reward + link - bound.per_layer * count);
    }
    return bound;
  }

  // rest_[n]: the least that placing the last n layers on devices that may follow `set` takes.
  void BoundRest(int set) {
    rest_[0] = 0;
    int placed = 0;
    double end = kDoesNotFit;
    for (const int kind : by_rate_) {
      const KindBound& bound = bounds_[kind];
      const int devices = bound.most_layers == 0 ? 0 : states_.left(set, kind);
      if (devices == 0) continue;
      end = std::min(end, bound.for_the_end);
      const int upto =
          std::min<int64_t>(num_layers_, placed + int64_t{devices} * bound.most_layers);
      for (; placed < upto; ++placed) rest_[placed + 1] = rest_[placed] + bound.per_layer;
    }
    std::fill(rest_.begin() + placed + 1, rest_.end(), kDoesNotFit);
    for (int layers = 1; layers <= placed; ++layers) rest_[layers] += end;
  }

  // What a pipeline may about cost.
  double Scale() {
    double scale = upper_;
    if (scale == kDoesNotFit) {
      for (const KindBound& bound : bounds_) {
        if (bound.most_layers > 0) scale = std::min(scale, bound.per_layer * num_layers_);
      }
    }
    scale = std::abs(scale) + space_.reward;
    return scale > 0 && scale < kDoesNotFit ? scale : 1;
  }

  // The least sum with which the state's last device can be entered after each prefix.
  void Enter(int state) {
    std::fill(entered_.begin(), entered_.end(), kDoesNotFit);
    if (states_.first(state)) entered_[0] = 0;
    const int device = states_.devices(states_.last(state))[0];
    states_.ForEachBefore(state, [&](int from) {
      const Row& row = rows_[from];
      if (row.low == row.high) return;
      const double link = LinkTo(device, states_.last(from));
      const double* sums = &sums_[row.offset];
      double* entered = &entered_[row.low];
      for (int i = 0; i < row.high - row.low; ++i) {
        const double sum = sums[i] + link;
        entered[i] = sum < entered[i] ? sum : entered[i];
      }
    });
  }

  void Extend(int state) {
    const int kind = states_.last(state);
    Enter(state);
    double* const times = TimesOf(kind);
    if (states_.in_order()) FillTimes(kind, times);
    std::fill(row_.begin(), row_.end(), kDoesNotFit);
    for (int first = 0; first < num_layers_; ++first) {
      const double before = entered_[first];
      if (before == kDoesNotFit) continue;
      const double* seconds = times + first * width_;
      double* row = row_.data();
      for (int end = first + 1; end <= num_layers_; ++end) {
        const double sum = before + seconds[end];
        row[end] = sum < row[end] ? sum : row[end];
      }
    }
    Keep(state);
  }

  // Stores those of row_ that can lead to less than the upper bound.
  void Keep(int state) {
    const double most = upper_ + std::abs(upper_) * kRounding + penalty_ * width_;
    Row& kept = rows_[state];
    for (int layers = 1; layers <= num_layers_; ++layers) {
      const double sum = row_[layers] + rest_[num_layers_ - layers];
      if (sum == kDoesNotFit || sum > most) {
        row_[layers] = kDoesNotFit;
        continue;
      }
      if (kept.high == 0) kept.low = layers;
      kept.high = layers + 1;
    }
    if (kept.high == 0) return;
    kept.offset = sums_.size();
    sums_.insert(sums_.end(), row_.begin() + kept.low, row_.begin() + kept.high);
  }

  std::vector<StageChoice> TraceBack(int state) {
    std::vector<StageChoice> stages;  // of kinds, from the last
    int end = num_layers_;
    while (true) {
      const int kind = states_.last(state);
      const double sum = At(state, end);
      Enter(state);
      double* const times = TimesOf(kind);
      if (states_.in_order()) FillTimes(kind, times);
      int first = 0;
      while (entered_[first] == kDoesNotFit ||
             entered_[first] + times[first * width_ + end] != sum) {
        ++first;
      }
      stages.push_back({.device = kind, .first = first, .count = end - first});
      if (first == 0) break;
      state = Before(state, first);
      end = first;
    }
    std::reverse(stages.begin(), stages.end());
    std::vector<size_t> taken(states_.num_kinds(), 0);
    for (StageChoice& stage : stages) {
      const int kind = stage.device;
      stage.device = states_.devices(kind)[taken[kind]++];
    }
    return stages;
  }

  // The state from which `state` was entered after `first` layers.
  int Before(int state, int first) const {
    const int device = states_.devices(states_.last(state))[0];
    int found = -1;
    states_.ForEachBefore(state, [&](int from) {
      const double sum = At(from, first) + LinkTo(device, states_.last(from));
      if (found < 0 && sum == entered_[first]) found = from;
    });
    return found;
  }

  const SearchSpace& space_;
  const DeviceStates& states_;
  const double period_;
  const double upper_;
  const int num_layers_;
  const int width_;
  double penalty_ = 0;
  std::vector<double> times_;
  std::vector<KindBound> bounds_;
  std::vector<int> by_rate_;
  std::vector<Row> rows_;
  std::vector<double> sums_;
  // Scratch, an entry per number of layers.
  std::vector<double> entered_;
  std::vector<double> row_;
  std::vector<double> rest_;
};

}  // namespace

std::optional<std::vector<StageChoice>> SmallestSum(const SearchSpace& space,
                                                    const DeviceStates& states, double period,
                                                    double upper) {
  return SumSearch(space, states, period, upper).Run();
}

}  // namespace layercake
