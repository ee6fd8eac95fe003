#include "coordinator/placement/whole_devices.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace layercake {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// Which ends a choice of devices has, as bits.
constexpr int kBoth = 3;
int EndOf(StageRole role) { return role == kFirstStage ? 1 : role == kLastStage ? 2 : 0; }

// Devices of an offer that are taken together.
struct Item {
  size_t offer;
  StageRole role;
  int count;
};

// The least cost of at least so many layers, by ends and layers, as items are offered one by one.
class Knapsack {
 public:
  explicit Knapsack(int layers) : layers_(layers), least_((kBoth + 1) * Width(), kNever) {
    least_[At(0, 0)] = 0;
  }

  void Offer(const Item& item, int most_layers, double cost, double cost_per_layer) {
    items_.push_back(item);
    std::vector<int16_t>& taken = taken_.emplace_back(least_.size(), int16_t{0});
    before_ = least_;
    const int end = EndOf(item.role);
    for (int ends = 0; ends <= kBoth; ++ends) {
      if ((ends & end) != end) continue;
      const double* from = &before_[At(ends & ~end, 0)];
      // Of n layers others have taken k: that which costs least of those within reach comes first
      // in `window`, behind it those that will when it is out of reach.
      const auto each = [&](int k) { return from[k] - cost_per_layer * k; };
      window_.clear();
      size_t first = 0;
      for (int n = 1; n <= layers_; ++n) {
        while (window_.size() > first && each(window_.back()) >= each(n - 1)) window_.pop_back();
        window_.push_back(n - 1);
        if (window_[first] < n - most_layers) ++first;
        const int k = window_[first];
        const double sum = from[k] + cost + cost_per_layer * (n - k);
        if (sum >= least_[At(ends, n)]) continue;
        least_[At(ends, n)] = sum;
        taken[At(ends, n)] = static_cast<int16_t>(n - k);
      }
    }
  }

  std::optional<WholeDevices> Best(size_t num_offers) const {
    WholeDevices best = {.cost = least_[At(kBoth, layers_)], .numbers = {}};
    if (best.cost == kNever) return std::nullopt;
    best.numbers.assign(num_offers, 0);
    int ends = kBoth;
    int left = layers_;
    for (size_t i = items_.size(); i-- > 0;) {
      const int count = taken_[i][At(ends, left)];
      if (count == 0) continue;
      best.numbers[items_[i].offer] += items_[i].count;
      ends &= ~EndOf(items_[i].role);
      left -= count;
    }
    return best;
  }

 private:
  size_t Width() const { return static_cast<size_t>(layers_) + 1; }
  size_t At(int ends, int layers) const { return ends * Width() + layers; }

  const int layers_;
  std::vector<double> least_;
  std::vector<double> before_;
  std::vector<int> window_;
  std::vector<Item> items_;
  std::vector<std::vector<int16_t>> taken_;  // layers of each item, 0: none
};

}  // namespace

std::optional<WholeDevices> CheapestDevices(const std::vector<DeviceOffer>& offers, int layers) {
  Knapsack knapsack(layers);
  for (size_t i = 0; i < offers.size(); ++i) {
    const DeviceOffer& offer = offers[i];
    if (offer.number < 1) continue;
    for (const StageRole role : {kFirstStage, kLastStage}) {
      const auto& [most, cost] = offer.roles[role];
      if (most > 0) knapsack.Offer({i, role, 1}, most, cost, offer.cost_per_layer);
    }
    const auto& [most, cost] = offer.roles[kMiddleStage];
    if (most < 1) continue;
    // One, two, four and so on: any number is a sum of some.
    int left = std::min(offer.number, layers);
    for (int count = 1; left > 0; count *= 2) {
      count = std::min(count, left);
      left -= count;
      knapsack.Offer({i, kMiddleStage, count}, count * most, count * cost, offer.cost_per_layer);
    }
  }
  return knapsack.Best(offers.size());
}

}  // namespace layercake
