#include "coordinator/placement/divide_few.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>

#include "coordinator/placement/device_sets.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/coordinator/placement/fleets.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

std::vector<std::vector<int>> RandomKinds(std::mt19937& random) {
  std::vector<std::vector<int>> kinds(1 + random() % 3);
  for (int device = 0; device < 5; ++device) kinds[random() % kinds.size()].push_back(device);
  std::erase_if(kinds, [](const std::vector<int>& kind) { return kind.empty(); });
  return kinds;
}

TEST(DeviceSetsTest, TheBestDivisionIsThatOfAllDivisions) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    const std::vector<std::vector<int>> kinds = RandomKinds(random);
    const DeviceSets sets = *DeviceSets::Of(kinds, 1000);
    std::vector<double> values(sets.size(), -1);
    std::vector<std::vector<int>> counts(sets.size(), std::vector<int>(kinds.size()));
    for (int set = 1; set < sets.size(); ++set) {
      if (random() % 4 != 0) values[set] = 1 + random() % 100;
      for (const int device : sets.devices(set)) {
        for (size_t kind = 0; kind < kinds.size(); ++kind) {
          counts[set][kind] += static_cast<int>(std::ranges::count(kinds[kind], device));
        }
      }
    }
    std::vector<double> best(6, -1);
    std::vector<std::vector<double>> best_with(6, std::vector<double>(sets.size(), -1));
    std::vector<int> left = counts.back();
    std::vector<int> chosen;
    const std::function<void(int, int, double)> divide = [&](int from, int number, double value) {
      if (number > 0) best[number] = std::max(best[number], value);
      for (const int set : chosen) {
        best_with[number][set] = std::max(best_with[number][set], value);
        best_with[0][set] = std::max(best_with[0][set], value);
      }
      for (int set = from; set < sets.size(); ++set) {
        bool fits = values[set] >= 0;
        for (size_t kind = 0; kind < left.size(); ++kind) fits &= counts[set][kind] <= left[kind];
        if (!fits) continue;
        for (size_t kind = 0; kind < left.size(); ++kind) left[kind] -= counts[set][kind];
        chosen.push_back(set);
        divide(set, number + 1, value + values[set]);
        chosen.pop_back();
        for (size_t kind = 0; kind < left.size(); ++kind) left[kind] += counts[set][kind];
      }
    };
    divide(1, 0, 0);
    for (int number = 0; number <= 5; ++number) {
      const double expected =
          number == 0 ? *std::max_element(best.begin(), best.end()) : best[number];
      std::vector<double> with;
      const auto found = sets.Divide(values, number, &with);
      ASSERT_EQ(found.has_value() ? found->value : -1, expected) << "case " << i << ", " << number;
      for (int set = 1; set < sets.size(); ++set) {
        ASSERT_EQ(std::max(with[set], -1.0), best_with[number][set]) << "case " << i << ", " << set;
      }
      if (!found.has_value()) continue;
      double value = 0;
      std::vector<Pipeline> pipelines;
      for (const int set : found->sets) {
        value += values[set];
        Pipeline& pipeline = pipelines.emplace_back();
        for (const int device : sets.devices(set)) pipeline.stages.push_back({device, 0, 1});
      }
      ASSERT_EQ(value, found->value);
      sets.MoveApart(*found, pipelines);
      std::set<int> used;
      for (const Pipeline& pipeline : pipelines) {
        for (const StageChoice& stage : pipeline.stages) {
          ASSERT_TRUE(used.insert(stage.device).second) << "case " << i;
        }
      }
    }
  }
}

TEST(DeviceSetsTest, TooManyAreTooMany) {
  const std::vector<std::vector<int>> kinds = {{0, 1}, {2}};
  EXPECT_FALSE(DeviceSets::Of(kinds, 17).has_value());
  EXPECT_TRUE(DeviceSets::Of(kinds, 18).has_value());
}

v1::Plan PlanOf(const Fleet& fleet) {
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  return *MakePlan(Llama70B(), fleet, options, "m");
}

TEST(DivideFewTest, FourteenUnlikeDevicesAreDividedInTheBestWay) {
  for (const uint32_t seed : {1, 2}) {
    const v1::Plan plan = PlanOf(UnlikeDevices(seed, 14, 5.0));
    EXPECT_EQ(plan.num_replicas(), 2);
    // No more than fewer replicas are allowed to lack.
    EXPECT_LE(plan.optimality_gap(), 0.02);
  }
}

TEST(DivideFewTest, HostsOfOneCardEachAreTheSame) {
  const v1::Plan plan = PlanOf(HostsOfOneCard(100, 1));
  EXPECT_GT(plan.num_replicas(), 20);
  EXPECT_LE(plan.optimality_gap(), 0.02);
}

TEST(DivideFewTest, WhereVeryManyDivisionsAreAboutAsGoodTheGapSaysWhatIsNotKnown) {
  for (const int num_kinds : {2, 3, 4}) {
    EXPECT_LE(PlanOf(HostsOfOneCard(24, num_kinds)).optimality_gap(), 0.05) << num_kinds;
  }
}

TEST(DivideFewTest, TwelveUnlikeHostsOnASlowNetworkAreDividedNearlyAsWellAsCanBe) {
  v1::PlanOptions options;
  for (const int replicas : {0, 1, 2, 3}) {
    options.set_replicas(replicas);
    const v1::Plan plan = *MakePlan(Llama3_8B(), UnlikeHosts(12), options, "m");
    EXPECT_LE(plan.optimality_gap(), 0.05) << replicas;
  }
}

}  // namespace
}  // namespace layercake
