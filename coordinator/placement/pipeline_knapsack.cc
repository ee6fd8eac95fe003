#include "coordinator/placement/pipeline_knapsack.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace layercake {
namespace {

constexpr double kRounding = 1e-6;
constexpr int kMaxDoublings = 100;  // and steps
// So many times what makes a difference: fees grow without end where nothing meets the demand.
constexpr double kMostFees = 1e9;
// Fees for seconds, and shares of the way to stages that keep within the cycle, that are tried.
constexpr int kMaxSteps = 5;
// Of all cycles: less is not worth a fee.
constexpr double kLittleExcess = 0.05;

}  // namespace

PipelineKnapsack::PipelineKnapsack(const std::vector<DeviceShare>& shares,
                                   const PipelineDemand& demand, const std::vector<double>& prices,
                                   const std::vector<double>& numbers)
    : demand_(demand), num_classes_(shares.size()) {
  demand_.devices += kRounding;
  offers_.reserve(shares.size());
  for (size_t cls = 0; cls < shares.size(); ++cls) {
    const DeviceShare& share = shares[cls];
    if (share.most_layers <= 0 || numbers[cls] <= 0) continue;
    offers_.push_back(
        {.cls = static_cast<int>(cls),
         .number = numbers[cls],
         .price = prices[cls],
         .layers = share.most_layers,
         .overhead = share.overhead,
         .per_layer = share.per_layer,
         .excess = share.overhead + share.per_layer * share.most_layers - demand.cycle});
  }
  ranked_.resize(offers_.size());
  for (size_t i = 0; i < offers_.size(); ++i) ranked_[i].offer = i;
}

// Those of most layers first.
bool PipelineKnapsack::Feasible() const {
  std::vector<double> numbers;  // [layers]
  double layers = 0;
  for (const Offer& offer : offers_) {
    const auto each = static_cast<size_t>(offer.layers);
    if (each >= numbers.size()) numbers.resize(each + 1, 0);
    numbers[each] += offer.number;
    layers += offer.number * offer.layers;
  }
  if (layers < demand_.layers) return false;
  double left = demand_.layers;
  double devices = demand_.devices;
  for (size_t each = numbers.size(); each-- > 1 && left > 0 && devices > 0;) {
    const double taken = std::min(devices, numbers[each]);
    left -= taken * static_cast<double>(each);
    devices -= taken;
  }
  return left <= 0;
}

double PipelineKnapsack::Bound(const Filling& filling) const {
  return filling.price + filling.fee * (filling.devices - demand_.devices);
}

// The least fee for devices at which none gains by taking fewer layers than it can; and what that
// fee grows by with the one for seconds.
double PipelineKnapsack::LeastFee(double per_second, double& slope) const {
  double least = 0;
  slope = 0;
  if (per_second == 0) return 0;
  for (const Offer& offer : offers_) {
    const double spare = demand_.cycle - offer.overhead;
    const double fee = per_second * spare - offer.price;
    if (fee <= least) continue;
    least = fee;
    slope = spare;
  }
  return least;
}

// The cheapest layers first. From one pair of fees to the next the order hardly changes.
void PipelineKnapsack::Rank(double fee, double per_second) {
  for (Ranked& ranked : ranked_) {
    const Offer& offer = offers_[ranked.offer];
    const double more = per_second > 0 ? per_second * offer.excess : 0;
    ranked.price = offer.layers > 0 ? (offer.price + fee + more) / offer.layers : kDoesNotFit;
  }
  const auto cheaper = [](const Ranked& a, const Ranked& b) {
    return std::pair(a.price, a.offer) < std::pair(b.price, b.offer);
  };
  if (!is_ranked_) std::sort(ranked_.begin(), ranked_.end(), cheaper);
  is_ranked_ = true;
  for (size_t i = 1; i < ranked_.size(); ++i) {
    const Ranked moved = ranked_[i];
    size_t to = i;
    for (; to > 0 && cheaper(moved, ranked_[to - 1]); --to) ranked_[to] = ranked_[to - 1];
    ranked_[to] = moved;
  }
}

// Calls `each` with the cheapest offers, and how many devices of them, until they have all layers.
template <typename Each>
void PipelineKnapsack::TakeCheapest(const Each& each) const {
  double left = demand_.layers;
  for (const Ranked& ranked : ranked_) {
    const Offer& offer = offers_[ranked.offer];
    if (left <= 0 || offer.layers <= 0) return;
    const double devices = std::min(offer.number, left / offer.layers);
    left -= devices * offer.layers;
    each(offer, devices);
  }
}

PipelineKnapsack::Filling PipelineKnapsack::Fill(double fee, double per_second) {
  Rank(fee, per_second);
  Filling filling = {.fee = fee};
  TakeCheapest([&filling](const Offer& offer, double devices) {
    filling.devices += devices;
    filling.price += devices * offer.price;
    filling.excess += devices * offer.excess;
  });
  filling.excess = demand_.cycle == kDoesNotFit ? 0 : filling.excess - demand_.free_seconds;
  if (per_second > 0) filling.price += per_second * filling.excess;
  return filling;
}

// The best fee is that at which just as many devices are taken as may be, between one of too many
// and one of few enough, where the lines through these two meet.
PipelineKnapsack::Bounded PipelineKnapsack::BestFee(double enough, double fee, double per_second) {
  double slope = 0;
  const double least_fee = LeastFee(per_second, slope);
  double dearest = least_fee;
  for (const Offer& offer : offers_) dearest = std::max(dearest, offer.price);
  const double step = 0.01 * dearest + 1e-12;
  if (!(fee <= kMostFees * dearest)) fee = 0;
  Filling few = Fill(std::max(fee, least_fee), per_second);
  Bounded best = {.price = Bound(few), .fee = few.fee};
  const auto keep = [&](const Filling& filling) {
    if (Bound(filling) <= best.price) return;
    best.price = Bound(filling);
    best.fee = filling.fee;
  };
  const auto mix = [&best](const Filling& many, const Filling& few, double share) {
    best.slope = share * few.excess + (1 - share) * many.excess;
    best.many_fee = many.fee;
    best.few_fee = few.fee;
    best.share_of_few = share;
  };
  if (best.price >= enough) return best;
  Filling many = few;
  for (int i = 0; few.devices > demand_.devices && i < kMaxDoublings; ++i) {
    many = few;
    few = Fill(std::max(2 * many.fee, least_fee + step), per_second);
    keep(few);
  }
  while (many.devices <= demand_.devices && many.fee > least_fee) {
    few = many;
    const double less =
        few.fee - least_fee > step ? least_fee + (few.fee - least_fee) / 2 : least_fee;
    many = Fill(less, per_second);
    keep(many);
  }
  if (many.devices <= demand_.devices) {
    mix(many, many, 1);
    best.slope += slope * (many.devices - demand_.devices);
    return best;
  }
  for (int i = 0; best.price < enough && few.devices < many.devices && i < kMaxDoublings; ++i) {
    const Filling between =
        Fill((few.price - many.price) / (many.devices - few.devices), per_second);
    keep(between);
    const double meets = many.price + between.fee * (many.devices - demand_.devices);
    if (between.fee < least_fee || Bound(between) >= meets - kRounding * std::abs(meets)) break;
    if (between.devices <= few.devices || between.devices >= many.devices) break;
    (between.devices > demand_.devices ? many : few) = between;
  }
  const double share =
      few.devices < many.devices
          ? std::clamp((many.devices - demand_.devices) / (many.devices - few.devices), 0.0, 1.0)
          : 1;
  mix(many, few, share);
  return best;
}

double PipelineKnapsack::LeastPrice(double enough, Fees& fees) {
  double best = -kDoesNotFit;
  // The price is concave in the fee for seconds. Where no device gains by fewer layers its slope
  // changes: there is the best fee if all are alike.
  double low = 0;
  double high = kDoesNotFit;
  double turn = kDoesNotFit;
  if (demand_.cycle != kDoesNotFit) {
    for (const Offer& offer : offers_) {
      const double spare = demand_.cycle - offer.overhead;
      if (spare > 0) turn = std::min(turn, offer.price / spare);
      if (demand_.cycle == 0) turn = std::min(turn, offer.price / offer.excess);
    }
  }
  double per_second = fees.second <= kMostFees * turn ? fees.second : 0;
  for (int i = 0; i < kMaxSteps; ++i) {
    const Bounded found = BestFee(enough, fees.device, per_second);
    if (found.price > best) {
      best = found.price;
      fees = {found.fee, per_second};
    }
    if (best >= enough || turn == kDoesNotFit) break;
    if (per_second == 0 && found.slope <= kLittleExcess * demand_.cycle * demand_.devices) break;
    (found.slope > 0 ? low : high) = per_second;
    if (low < turn && turn < high) {
      per_second = turn;
    } else if (high == kDoesNotFit) {
      per_second = 2 * low;
    } else {
      per_second = (low + high) / 2;
    }
  }
  return best;
}

// What is cheapest without a fee for seconds.
std::vector<double> PipelineKnapsack::Take(double fee, double& excess) {
  const Bounded found = BestFee(kDoesNotFit, fee, /*per_second=*/0);
  excess = found.slope;
  std::vector<double> devices(num_classes_, 0);
  const auto add = [&](double fee, double share) {
    Rank(fee, /*per_second=*/0);
    TakeCheapest([&devices, share](const Offer& offer, double taken) {
      devices[offer.cls] += share * taken;
    });
  };
  add(found.many_fee, 1 - found.share_of_few);
  add(found.few_fee, found.share_of_few);
  return devices;
}

std::vector<double> PipelineKnapsack::Devices(const Fees& fees) {
  double excess = 0;
  std::vector<double> devices = Take(fees.device, excess);
  // Where time is allowed in all, not for each device, fewer layers each would only take more.
  if (demand_.cycle == kDoesNotFit || demand_.cycle == 0 ||
      excess <= kLittleExcess * demand_.cycle * demand_.devices) {
    return devices;
  }
  // Fewer layers each: on the way to where each keeps within the cycle with its own link.
  const std::vector<Offer> whole = offers_;
  double low = 0;
  double high = 1;
  double way = 1;
  for (int i = 0; i < kMaxSteps; ++i) {
    for (size_t j = 0; j < offers_.size(); ++j) {
      const auto& [cls, number, price, layers, overhead, per_layer, all] = whole[j];
      const double within = std::max(0.0, (demand_.cycle - overhead) / per_layer);
      offers_[j].layers = layers - way * std::max(0.0, layers - within);
      offers_[j].excess = overhead + per_layer * offers_[j].layers - demand_.cycle;
    }
    std::vector<double> fewer = Take(fees.device, excess);
    double layers = 0;
    for (const Offer& offer : offers_) layers += fewer[offer.cls] * offer.layers;
    const bool meets = layers >= demand_.layers * (1 - kRounding) && excess <= 0;
    if (meets) devices = std::move(fewer);
    (meets ? high : low) = way;
    way = (low + high) / 2;
  }
  offers_ = whole;
  return devices;
}

}  // namespace layercake
