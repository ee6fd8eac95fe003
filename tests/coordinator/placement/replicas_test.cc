#include "coordinator/placement/replicas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "coordinator/placement/memory_bars.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/coordinator/placement/search_cases.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

// The highest rate of dividing all devices of `c` into pipelines, by number of pipelines.
std::map<int, double> EveryDivision(const SearchCase& c) {
  const int num_devices = static_cast<int>(c.devices.size());
  std::vector<double> rates(size_t{1} << num_devices, -1);
  for (size_t set = 1; set < rates.size(); ++set) {
    SearchCase part = c;
    part.devices.clear();
    for (int i = 0; i < num_devices; ++i) {
      if ((set >> i & 1) != 0) part.devices.push_back(c.devices[i]);
    }
    if (const Best best = BruteForce(part); best.found) rates[set] = 1 / best.cycle;
  }
  std::map<int, double> best;
  const std::function<void(size_t, size_t, int, double)> divide = [&](size_t left, size_t below,
                                                                      int number, double rate) {
    if (number > 0) best[number] = std::max(best[number], rate);
    for (size_t set = 1; set < below; ++set) {
      if ((set & left) != set || rates[set] < 0) continue;
      divide(left & ~set, set, number + 1, rate + rates[set]);
    }
  };
  divide(rates.size() - 1, rates.size(), 0, 0);
  return best;
}

void ExpectDisjoint(const SearchCase& c, const Replicas& replicas) {
  std::map<int, int> uses;
  double rate = 0;
  for (const Pipeline& pipeline : replicas.pipelines) {
    ASSERT_EQ(FaultOf(c, pipeline), "");
    rate += 1 / pipeline.cycle();
    for (const StageChoice& stage : pipeline.stages) ASSERT_EQ(++uses[stage.device], 1);
  }
  ASSERT_NEAR(rate, replicas.rate, 1e-9 * rate);
}

// Whether each stage that fits fits with fewer layers too.
bool ShorterFits(const SearchCase& c) {
  for (const int device : c.devices) {
    for (int first = 0; first < c.times.num_layers(); ++first) {
      for (int count = 2; first + count <= c.times.num_layers(); ++count) {
        if (c.times.at(device, first, count) != kDoesNotFit &&
            (c.times.at(device, first, count - 1) == kDoesNotFit ||
             c.times.at(device, first + 1, count - 1) == kDoesNotFit)) {
          return false;
        }
      }
    }
  }
  return true;
}

TEST(ReplicasTest, ThereAreAsManyAsDevicesCanBeDividedInto) {
  CaseMaker maker(31);
  int several = 0;
  int fewer_than_room = 0;
  for (int i = 0; i < 6000; ++i) {
    SearchCase c = maker.Make(5, 4);
    c.in_order = false;
    if (!ShorterFits(c)) continue;
    const std::map<int, double> best = EveryDivision(c);
    const int most = best.empty() ? 0 : best.rbegin()->first;
    for (int number = 1; number <= 5; ++number) {
      ASSERT_EQ(AnyDivision(c.space(), number), number <= most) << "case " << i << ", " << number;
    }
    ASSERT_GE(MostReplicas(c.space()), most);
    several += most > 1 ? 1 : 0;
    fewer_than_room += MostReplicas(c.space()) > most ? 1 : 0;
  }
  EXPECT_GT(several, 300);
  EXPECT_GT(fewer_than_room, 30);
}

TEST(ReplicasTest, DealtOutTheyStayBelowTheBounds) {
  CaseMaker maker(32);
  int several = 0;
  for (int i = 0; i < 1500; ++i) {
    SearchCase c = maker.Make(5, 4);
    c.in_order = false;
    const std::map<int, double> best = EveryDivision(c);
    const Divisions any = DivideDevices(c.space(), 0);
    if (best.empty() || std::isinf(best.begin()->second)) continue;
    for (const auto& [number, rate] : best) {
      ASSERT_LE(rate, ReplicaRateBound(c.space()) * (1 + 1e-9)) << "case " << i;
    }
    for (const Replicas& replicas : any.by_number) {
      ExpectDisjoint(c, replicas);
      const double rate = best.at(static_cast<int>(replicas.pipelines.size()));
      ASSERT_LE(replicas.rate, rate * (1 + 1e-9)) << "case " << i;
      ASSERT_LE(rate, any.bound * (1 + 1e-9)) << "case " << i;
    }
    several += any.by_number.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(several, 300);
}

constexpr double kGB = 1e9;

// Two hosts of two cards, a slow network between them.
Fleet TwoHosts(double bytes) {
  Fleet fleet({Gpu("a0", bytes), Gpu("a1", bytes), Gpu("b0", bytes), Gpu("b1", bytes)});
  for (size_t i = 0; i < 4; ++i) fleet.devices[i].host = std::string(1, i < 2 ? 'a' : 'b');
  return fleet;
}

TEST(ReplicasTest, EachHostServesACopyWhereTheNetworkIsSlow) {
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), TwoHosts(20 * kGB), {}, "m"));
  ASSERT_EQ(plan.num_replicas(), 2);
  ASSERT_EQ(plan.stages_size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(plan.stages(i).replica(), i / 2);
    EXPECT_EQ(plan.stages(i).worker()[0], plan.stages(i / 2 * 2).worker()[0]);
    EXPECT_EQ(plan.stages(i).has_embedding(), i % 2 == 0);
    EXPECT_EQ(plan.stages(i).has_head(), i % 2 == 1);
  }
  EXPECT_LE(plan.optimality_gap(), 0.05);
  v1::PlanOptions one;
  one.set_replicas(1);
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan single,
                          MakePlan(Llama3_8B(), TwoHosts(20 * kGB), one, "m"));
  EXPECT_EQ(single.num_replicas(), 1);
  EXPECT_GT(plan.predicted_tokens_per_second(), single.predicted_tokens_per_second());
}

TEST(ReplicasTest, EachHasTheBlocksItsOwnStagesHoldAndKeepsTheContext) {
  Fleet fleet = TwoHosts(12 * kGB);
  fleet.devices[3].device.set_free_bytes(static_cast<uint64_t>(8 * kGB));
  v1::PlanOptions options;
  options.set_replicas(2);
  options.set_context_tokens(8192);
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), fleet, options, "m"));
  ASSERT_EQ(plan.num_replicas(), 2);
  int64_t blocks[2] = {};
  int64_t tightest[2] = {INT64_MAX, INT64_MAX};  // blocks that would still fit on every stage
  for (const v1::StagePlan& stage : plan.stages()) {
    const int64_t block_bytes = int64_t{2 * 16 * 8 * 128 * 2} * stage.num_layers();
    EXPECT_GE(stage.num_blocks(), 8192 / 16);
    EXPECT_EQ(static_cast<int64_t>(stage.kv_bytes()), stage.num_blocks() * block_bytes);
    const int64_t headroom = HeadroomBytes(stage);
    EXPECT_GE(headroom, 0);
    int64_t& fewest = tightest[stage.replica()];
    fewest = std::min(fewest, headroom / block_bytes);
    blocks[stage.replica()] = stage.num_blocks();
  }
  EXPECT_EQ(tightest[0], 0);
  EXPECT_EQ(tightest[1], 0);
  EXPECT_NE(blocks[0], blocks[1]);
}

TEST(ReplicasTest, OneForLatencyAndOneInAGivenOrder) {
  v1::PlanOptions options;
  options.set_objective(v1::PlanOptions::OBJECTIVE_LATENCY);
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), TwoHosts(20 * kGB), options, "m"));
  EXPECT_EQ(plan.num_replicas(), 1);
  options.Clear();
  for (const char* name : {"a0", "a1", "b0", "b1"}) options.add_order(name);
  LC_ASSERT_OK_AND_ASSIGN(plan, MakePlan(Llama3_8B(), TwoHosts(20 * kGB), options, "m"));
  EXPECT_EQ(plan.num_replicas(), 1);
}

TEST(ReplicasTest, WhatCannotBeIsRefusedInWords) {
  const auto refusal = [](const v1::PlanOptions& options, double bytes) {
    return std::string(MakePlan(Llama3_8B(), TwoHosts(bytes), options, "m").status().message());
  };
  v1::PlanOptions options;
  options.set_replicas(-1);
  EXPECT_THAT(refusal(options, 20 * kGB), HasSubstr("--replicas is -1"));
  options.set_replicas(5);
  EXPECT_THAT(refusal(options, 20 * kGB), HasSubstr("needs as many workers; there are 4"));
  options.set_replicas(3);
  EXPECT_THAT(
      refusal(options, 12 * kGB),
      ::testing::AllOf(HasSubstr("each of 3 replicas needs at least"), HasSubstr("--replicas 2")));
  options.set_objective(v1::PlanOptions::OBJECTIVE_LATENCY);
  EXPECT_THAT(refusal(options, 20 * kGB), HasSubstr("--objective throughput only"));
  options.clear_objective();
  options.add_order("a0");
  EXPECT_THAT(refusal(options, 20 * kGB), HasSubstr("drop it or --replicas 3"));
}

}  // namespace
}  // namespace layercake
