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
    : shares_(shares), demand_(demand), prices_(prices), numbers_(numbers) {
  demand_.devices += kRounding;
  for (size_t cls = 0; cls < shares.size(); ++cls) {
    if (shares[cls].most_layers > 0 && numbers[cls] > 0) usable_.push_back(static_cast<int>(cls));
  }
}

bool PipelineKnapsack::Feasible() const {
  std::vector<int> order = usable_;
  std::sort(order.begin(), order.end(),
            [this](int a, int b) { return shares_[a].most_layers > shares_[b].most_layers; });
  double left = demand_.layers;
  double devices = demand_.devices;
  for (const int cls : order) {
    const double taken = std::min(devices, numbers_[cls]);
    left -= taken * shares_[cls].most_layers;
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
  for (const int cls : usable_) {
    const double spare = demand_.cycle - shares_[cls].overhead;
    const double fee = per_second * spare - prices_[cls];
    if (fee <= least) continue;
    least = fee;
    slope = spare;
  }
  return least;
}

// The cheapest by layer first.
PipelineKnapsack::Filling PipelineKnapsack::Fill(const std::vector<DeviceShare>& shares, double fee,
                                                 double per_second) const {
  const bool timed = demand_.cycle != kDoesNotFit;
  std::vector<std::pair<double, int>> order;
  order.reserve(usable_.size());
  for (const int cls : usable_) {
    const DeviceShare& share = shares[cls];
    if (share.most_layers <= 0) continue;
    double price = prices_[cls] + fee;
    if (per_second > 0) price += per_second * (share.overhead - demand_.cycle);
    order.emplace_back(price / share.most_layers + per_second * share.per_layer, cls);
  }
  std::sort(order.begin(), order.end());
  Filling filling = {
      .fee = fee, .excess = -demand_.free_seconds, .taken = std::vector<double>(shares.size(), 0)};
  double left = demand_.layers;
  for (const auto& [price, cls] : order) {
    if (left <= 0) break;
    const DeviceShare& share = shares[cls];
    const double taken = std::min(numbers_[cls], left / share.most_layers);
    filling.taken[cls] = taken;
    filling.devices += taken;
    filling.price += taken * prices_[cls];
    left -= taken * share.most_layers;
    if (!timed) continue;
    filling.excess +=
        taken * (share.overhead + share.per_layer * share.most_layers - demand_.cycle);
  }
  if (per_second > 0) filling.price += per_second * filling.excess;
  return filling;
}

// The best fee is that at which just as many devices are taken as may be, between one of too many
// and one of few enough, where the lines through these two meet.
PipelineKnapsack::Bounded PipelineKnapsack::BestFee(const std::vector<DeviceShare>& shares,
                                                    double enough, double fee,
                                                    double per_second) const {
  double slope = 0;
  const double least_fee = LeastFee(per_second, slope);
  double dearest = least_fee;
  for (const int cls : usable_) dearest = std::max(dearest, prices_[cls]);
  const double step = 0.01 * dearest + 1e-12;
  if (!(fee <= kMostFees * dearest)) fee = 0;
  Filling few = Fill(shares, std::max(fee, least_fee), per_second);
  Bounded best = {.price = Bound(few), .fee = few.fee};
  const auto keep = [&](const Filling& filling) {
    if (Bound(filling) <= best.price) return;
    best.price = Bound(filling);
    best.fee = filling.fee;
  };
  const auto mix = [&](const Filling& many, const Filling& few, double share) {
    best.slope = share * few.excess + (1 - share) * many.excess;
    best.taken = few.taken;
    for (size_t cls = 0; cls < best.taken.size(); ++cls) {
      best.taken[cls] = share * few.taken[cls] + (1 - share) * many.taken[cls];
    }
  };
  if (best.price >= enough) return best;
  Filling many = few;
  for (int i = 0; few.devices > demand_.devices && i < kMaxDoublings; ++i) {
    many = std::move(few);
    few = Fill(shares, std::max(2 * many.fee, least_fee + step), per_second);
    keep(few);
  }
  while (many.devices <= demand_.devices && many.fee > least_fee) {
    few = std::move(many);
    const double less =
        few.fee - least_fee > step ? least_fee + (few.fee - least_fee) / 2 : least_fee;
    many = Fill(shares, less, per_second);
    keep(many);
  }
  if (many.devices <= demand_.devices) {
    mix(many, many, 1);
    best.slope += slope * (many.devices - demand_.devices);
    return best;
  }
  for (int i = 0; best.price < enough && few.devices < many.devices && i < kMaxDoublings; ++i) {
    Filling between =
        Fill(shares, (few.price - many.price) / (many.devices - few.devices), per_second);
    keep(between);
    const double meets = many.price + between.fee * (many.devices - demand_.devices);
    if (between.fee < least_fee || Bound(between) >= meets - kRounding * std::abs(meets)) break;
    if (between.devices <= few.devices || between.devices >= many.devices) break;
    (between.devices > demand_.devices ? many : few) = std::move(between);
  }
  const double share =
      few.devices < many.devices
          ? std::clamp((many.devices - demand_.devices) / (many.devices - few.devices), 0.0, 1.0)
          : 1;
  mix(many, few, share);
  return best;
}

double PipelineKnapsack::LeastPrice(double enough, Fees& fees) const {
  double best = -kDoesNotFit;
  // The price is concave in the fee for seconds. Where no device gains by fewer layers its slope
  // changes: there is the best fee if all are alike.
  double low = 0;
  double high = kDoesNotFit;
  double turn = kDoesNotFit;
  if (demand_.cycle != kDoesNotFit) {
    for (const int cls : usable_) {
      const double spare = demand_.cycle - shares_[cls].overhead;
      if (spare > 0) turn = std::min(turn, prices_[cls] / spare);
      if (demand_.cycle == 0) {
        turn = std::min(turn, prices_[cls] / (shares_[cls].overhead +
                                              shares_[cls].per_layer * shares_[cls].most_layers));
      }
    }
  }
  double per_second = fees.second <= kMostFees * turn ? fees.second : 0;
  for (int i = 0; i < kMaxSteps; ++i) {
    const Bounded found = BestFee(shares_, enough, fees.device, per_second);
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

std::vector<double> PipelineKnapsack::Devices(const Fees& fees) const {
  std::vector<DeviceShare> shares = shares_;
  double low = 0;
  double high = 1;
  Bounded found = BestFee(shares, kDoesNotFit, fees.device, 0);
  const double little =
      demand_.cycle == kDoesNotFit ? 0 : kLittleExcess * demand_.cycle * demand_.devices;
  // Where time is allowed in all, not for each device, fewer layers each would only take more.
  if (demand_.cycle == kDoesNotFit || demand_.cycle == 0 || found.slope <= little) {
    return found.taken;
  }
  // Fewer layers each: on the way to where each keeps within the cycle with its own link.
  std::vector<double> devices = found.taken;
  double way = 1;
  for (int i = 0; i < kMaxSteps; ++i) {
    for (const int cls : usable_) {
      const DeviceShare& share = shares_[cls];
      const double within = std::max(0.0, (demand_.cycle - share.overhead) / share.per_layer);
      shares[cls].most_layers = share.most_layers - way * std::max(0.0, share.most_layers - within);
    }
    double layers = 0;
    found = BestFee(shares, kDoesNotFit, fees.device, 0);
    for (const int cls : usable_) layers += found.taken[cls] * shares[cls].most_layers;
    const bool enough = layers >= demand_.layers * (1 - kRounding);
    if (enough && found.slope <= 0) devices = found.taken;
    (enough && found.slope <= 0 ? high : low) = way;
    way = (low + high) / 2;
  }
  return devices;
}

}  // namespace layercake
