// Fleets too large and too mixed for the exact search: the plan is sound, and near what is proven.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/coordinator/placement/fleets.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

struct FleetCase {
  const char* name;
  int num_devices;
  int per_host;
  double share;  // of the model's weights in memory
};

class FleetTest : public ::testing::TestWithParam<FleetCase> {};

v1::PlanOptions OnePipeline(v1::PlanOptions::Objective objective) {
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  options.set_replicas(1);
  options.set_objective(objective);
  return options;
}

TEST_P(FleetTest, IsPlannedNearTheBound) {
  const FleetCase& param = GetParam();
  for (const uint32_t seed : {1, 2, 3, 4}) {
    const Fleet fleet =
        MixedFleet(seed, param.num_devices, param.per_host, param.share, Llama70B());
    for (const auto objective :
         {v1::PlanOptions::OBJECTIVE_THROUGHPUT, v1::PlanOptions::OBJECTIVE_LATENCY}) {
      LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan,
                              MakePlan(Llama70B(), fleet, OnePipeline(objective), "m"));
      EXPECT_LE(plan.optimality_gap(), 0.02) << "fleet " << seed;
      std::set<std::string> used;
      int next = 0;
      for (const v1::StagePlan& stage : plan.stages()) {
        EXPECT_TRUE(used.insert(stage.worker()).second);
        EXPECT_EQ(stage.first_layer(), next);
        next += stage.num_layers();
        EXPECT_LE(stage.weight_bytes() + stage.kv_bytes() + stage.workspace_bytes() +
                      stage.reserve_bytes(),
                  stage.available_bytes());
      }
      EXPECT_EQ(next, 80);
      EXPECT_EQ(plan.stages_size() + plan.excluded_size(), param.num_devices);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, FleetTest,
                         ::testing::Values(FleetCase{"OneCardAHostTight", 24, 1, 1.4},
                                           FleetCase{"FewCardsAHostTight", 24, 3, 1.3},
                                           FleetCase{"FewCardsAHostLoose", 32, 4, 4},
                                           FleetCase{"ManyHosts", 60, 6, 2}),
                         [](const auto& info) { return info.param.name; });

TEST(LargeFleetTest, ThePlanDoesNotDependOnTheOrderOfTheDevicesGiven) {
  for (const int replicas : {1, 0}) {
    Fleet fleet = MixedFleet(9, 40, 4, 5, Llama70B());
    v1::PlanOptions options = OnePipeline(v1::PlanOptions::OBJECTIVE_THROUGHPUT);
    options.set_replicas(replicas);
    LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama70B(), fleet, options, "m"));
    EXPECT_EQ(plan.num_replicas() > 1, replicas == 0);
    std::mt19937 random(3);
    std::shuffle(fleet.devices.begin(), fleet.devices.end(), random);
    std::shuffle(fleet.links.begin(), fleet.links.end(), random);
    LC_ASSERT_OK_AND_ASSIGN(const v1::Plan shuffled, MakePlan(Llama70B(), fleet, options, "m"));
    EXPECT_EQ(plan.SerializeAsString(), shuffled.SerializeAsString());
  }
}

// Pipelines of a whole number of equal cards are far from the program's parts of a card.
TEST(LargeFleetTest, EqualHostsAreDividedNearTheBound) {
  const std::vector<Card> cards = {
      {80e9, 2039e9, 300e12}, {24e9, 300e9, 120e12}, {24e9, 936e9, 70e12}};
  v1::PlanOptions options;
  options.set_context_tokens(4096);
  for (size_t kinds = 1; kinds <= cards.size(); ++kinds) {
    const std::vector<Card> some(cards.begin(), cards.begin() + static_cast<int64_t>(kinds));
    double each = 0;
    for (const int hosts : {6, 12, 120}) {
      LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan,
                              MakePlan(Llama70B(), EqualHosts(hosts, 8, some), options, "m"));
      EXPECT_GT(plan.num_replicas(), 1);
      EXPECT_LE(plan.optimality_gap(), 0.05) << hosts << " hosts of " << kinds;
      const double rate = plan.predicted_tokens_per_second() / hosts;
      // As many more hosts generate about as much more.
      EXPECT_GT(rate, 0.96 * each) << hosts << " hosts of " << kinds;
      each = rate;
    }
  }
}

TEST(LargeFleetTest, WhatDoesNotFitIsRefusedWithFigures) {
  EXPECT_THAT(MakePlan(Llama70B(), MixedFleet(1, 200, 8, 0.5, Llama70B()), {}, "m"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       ::testing::AllOf(::testing::HasSubstr("short by"),
                                        ::testing::HasSubstr("in total"))));
}

}  // namespace
}  // namespace layercake
