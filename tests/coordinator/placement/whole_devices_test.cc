#include "coordinator/placement/whole_devices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include "tests/coordinator/placement/fixtures.h"

namespace layercake {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

std::vector<DeviceOffer> RandomOffers(std::mt19937& random) {
  std::vector<DeviceOffer> offers(Draw(random, 1, 3));
  for (DeviceOffer& offer : offers) {
    offer.number = Draw(random, 0, 4);
    offer.cost_per_layer = Draw(random, 0, 2) == 0 ? 0 : Draw(random, 1, 20) / 10.0;
    for (DeviceOffer::Role& role : offer.roles) {
      role = {Draw(random, 0, 4), static_cast<double>(Draw(random, 0, 9))};
    }
  }
  return offers;
}

// Every first and last stage, every number of devices between, every number of layers of each end;
// those between may have any number of layers, as each costs the same.
double Cheapest(const std::vector<DeviceOffer>& offers, int layers) {
  double best = kNever;
  for (const DeviceOffer& first : offers) {
    for (const DeviceOffer& last : offers) {
      if (first.number < 1 || last.number < 1) continue;
      for (int f = 1; f <= first.roles[kFirstStage].most_layers; ++f) {
        for (int l = 1; l <= last.roles[kLastStage].most_layers; ++l) {
          const double ends = first.roles[kFirstStage].cost + f * first.cost_per_layer +
                              last.roles[kLastStage].cost + l * last.cost_per_layer;
          // (offer, layers left, cost): layers of an offer are any number up to what they can.
          const std::function<void(size_t, int, double)> between = [&](size_t i, int left,
                                                                       double cost) {
            if (left == 0) best = std::min(best, cost);
            if (left <= 0 || i == offers.size()) return;
            between(i + 1, left, cost);
            const auto& [most, each] = offers[i].roles[kMiddleStage];
            for (int count = 1; count <= offers[i].number && most > 0; ++count) {
              for (int n = count; n <= std::min(left, count * most); ++n) {
                between(i + 1, left - n, cost + count * each + n * offers[i].cost_per_layer);
              }
            }
          };
          if (f + l <= layers) between(0, layers - f - l, ends);
        }
      }
    }
  }
  return best;
}

TEST(WholeDevicesTest, NoneAreCheaper) {
  std::mt19937 random(7);
  int found = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::vector<DeviceOffer> offers = RandomOffers(random);
    const int layers = Draw(random, 2, 14);
    const double cheapest = Cheapest(offers, layers);
    const std::optional<WholeDevices> devices = CheapestDevices(offers, layers);
    ASSERT_EQ(devices.has_value(), cheapest < kNever) << "case " << i;
    if (!devices.has_value()) continue;
    ++found;
    ASSERT_NEAR(devices->cost, cheapest, 1e-9) << "case " << i;
    // They could take the layers.
    int most = 0;
    for (size_t k = 0; k < offers.size(); ++k) {
      int of_one = 0;
      for (const DeviceOffer::Role& role : offers[k].roles) {
        of_one = std::max(of_one, role.most_layers);
      }
      most += static_cast<int>(devices->numbers[k]) * of_one;
      EXPECT_LE(devices->numbers[k], offers[k].number + 2);
    }
    EXPECT_GE(most, layers);
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
}  // namespace layercake
