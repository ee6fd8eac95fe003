#include "coordinator/placement/search.h"

#include <gtest/gtest.h>

#include <numeric>

#include "coordinator/placement/build.h"
#include "coordinator/placement/relaxation.h"
#include "tests/coordinator/placement/search_cases.h"

namespace layercake {
namespace {

TEST(SearchTest, AgreesWithTryingEveryPipeline) {
  CaseMaker maker(20240611);
  int feasible = 0;
  for (int i = 0; i < 4000; ++i) {
    const SearchCase c = maker.Make(5, i % 8 == 0 ? 9 : 6);
    ASSERT_EQ(Mismatch(c), "") << "case " << i;
    feasible += MinimiseSum(c.space()).has_value() ? 1 : 0;
  }
  EXPECT_GT(feasible, 2000);
}

TEST(SearchTest, KeepsWhatIsAllowedAndFindsTheBestUnderIt) {
  CaseMaker maker(5);
  int restricted = 0;
  for (int i = 0; i < 2000; ++i) {
    const SearchCase c = maker.Make(4, 6);
    const Best free = BruteForce(c);
    if (!free.found) continue;
    const double period = free.period + maker.Draw(0, 5);
    const Best best = BruteForce(c, period);
    const std::optional<Pipeline> found = MinimiseSum(c.space(), period);
    ASSERT_TRUE(found.has_value()) << "case " << i;
    ASSERT_EQ(FaultOf(c, *found), "");
    ASSERT_LE(found->period, period);
    ASSERT_EQ(found->sum, best.sum) << "case " << i;
    restricted += best.sum > free.sum ? 1 : 0;
    EXPECT_TRUE(MinimiseSum(c.space(), period, best.sum).has_value()) << "case " << i;
    EXPECT_FALSE(MinimiseSum(c.space(), period, best.sum - 0.5).has_value()) << "case " << i;
    EXPECT_FALSE(MinimiseSum(c.space(), free.period - 0.5).has_value()) << "case " << i;
    EXPECT_TRUE(MinimisePeriod(c.space(), free.period).has_value()) << "case " << i;
    EXPECT_FALSE(MinimisePeriod(c.space(), free.period - 0.5).has_value()) << "case " << i;
  }
  EXPECT_GT(restricted, 100);
}

TEST(SearchTest, NoPipelineBeatsTheRelaxation) {
  CaseMaker maker(6);
  int tight = 0;
  int cases = 0;
  for (int i = 0; i < 4000; ++i) {
    SearchCase c = maker.Make(5, 6);
    c.in_order = false;
    const Best best = BruteForce(c);
    const Relaxation relaxation(c.space());
    const double period = relaxation.PeriodBound();
    const auto sum = relaxation.LeastSum(kDoesNotFit);
    if (!best.found) continue;
    ++cases;
    ASSERT_LE(period, best.period) << "case " << i;
    ASSERT_TRUE(sum.has_value());
    ASSERT_LE(sum->sum, best.sum) << "case " << i;
    const double allowed = best.period + maker.Draw(0, 5);
    ASSERT_LE(relaxation.LeastSum(allowed)->sum, BruteForce(c, allowed).sum) << "case " << i;
    tight += period == best.period && sum->sum == best.sum ? 1 : 0;
  }
  EXPECT_GT(tight, cases / 4);
}

TEST(SearchTest, NoPipelineBeatsTheBoundOfCycles) {
  CaseMaker maker(8);
  int tight = 0;
  int by_links = 0;
  int cases = 0;
  for (int i = 0; i < 4000; ++i) {
    SearchCase c = maker.Make(5, 6);
    c.in_order = false;
    const Best best = BruteForce(c);
    if (!best.found) continue;
    ++cases;
    const double bound = CycleBound(c.space());
    ASSERT_TRUE(MayFit(c.space()));
    ASSERT_GE(bound, PeriodBound(c.space())) << "case " << i;
    ASSERT_LE(bound, best.cycle * (1 + 1e-12)) << "case " << i;
    tight += bound >= best.cycle * 0.99 ? 1 : 0;
    by_links += bound > PeriodBound(c.space()) ? 1 : 0;
  }
  EXPECT_GT(tight, cases / 4);
  EXPECT_GT(by_links, 20);
}

TEST(SearchTest, TheBoundOfCyclesReckonsWithEachDevicesPace) {
  // Ten devices, a layer in 1, 2, 3 ... seconds, of three layers at most; links of 20 seconds.
  StageTimes times(10, 20);
  for (int device = 0; device < 10; ++device) {
    for (int first = 0; first < 20; ++first) {
      for (int count = 1; count <= 3 && first + count <= 20; ++count) {
        times.set(device, first, count, (device + 1) * count);
      }
    }
  }
  std::vector<int> devices(10);
  std::iota(devices.begin(), devices.end(), 0);
  const LinkTimes links(devices, std::vector<double>(100, 20));
  const SearchSpace space = {times, links, devices};
  const double best = MinimiseCycle(space)->cycle();
  EXPECT_LE(CycleBound(space), best);
  EXPECT_GE(CycleBound(space), best * 0.98);
}

TEST(SearchTest, WhatIsBuiltWithoutTheExactSearchIsAPipeline) {
  CaseMaker maker(7);
  int built = 0;
  int cases = 0;
  for (int i = 0; i < 4000; ++i) {
    SearchCase c = maker.Make(5, 6);
    c.in_order = false;
    const Best best = BruteForce(c);
    const Relaxation relaxation(c.space());
    if (!best.found) continue;
    ++cases;
    const double bound = relaxation.PeriodBound();
    const std::optional<Pipeline> period = BuildSmallPeriod(c.space(), relaxation, bound);
    const std::optional<Pipeline> sum = BuildSmallSum(c.space(), relaxation, kDoesNotFit);
    if (!period.has_value() || !sum.has_value()) continue;
    ++built;
    ASSERT_EQ(FaultOf(c, *period), "");
    ASSERT_EQ(FaultOf(c, *sum), "");
    ASSERT_GE(period->period, best.period);
    ASSERT_GE(sum->sum, best.sum);
  }
  EXPECT_GT(built, cases * 3 / 4);
}

TEST(SearchTest, AShorterPrefixMayLeadOnWhereTheFarthestDoesNot) {
  // Device 0 can place one layer or two; device 1 can do the rest only after one.
  StageTimes times(2, 3);
  times.set(0, 0, 1, 5);
  times.set(0, 0, 2, 5);
  times.set(1, 1, 2, 5);
  times.set(1, 2, 1, 9);
  const LinkTimes links(2);
  const std::optional<Pipeline> best = MinimisePeriod({times, links, {0, 1}});
  ASSERT_TRUE(best.has_value());
  EXPECT_EQ(best->period, 5);
  EXPECT_EQ(best->stages[0].count, 1);
}

TEST(SearchTest, ALinkMayBeTheSlowestPart) {
  StageTimes times(2, 2);
  for (const int device : {0, 1}) {
    times.set(device, 0, 1, 2);
    times.set(device, 1, 1, 2);
    times.set(device, 0, 2, 4);
  }
  const LinkTimes slow({0, 1}, {0, 5, 7, 0});
  EXPECT_EQ(MinimisePeriod({times, slow, {0, 1}})->stages.size(), 1u);
  const LinkTimes one_way({0, 1}, {0, 9, 3, 0});
  const std::optional<Pipeline> best = MinimisePeriod({times, one_way, {0, 1}});
  ASSERT_EQ(best->stages.size(), 2u);
  EXPECT_EQ(best->stages[0].device, 1);
  EXPECT_EQ(best->period, 3);
  EXPECT_EQ(best->sum, 7);
}

TEST(SearchTest, DevicesOfOneKindCountAsOne) {
  // Forty devices, but of two kinds: few states, so the answer is exact.
  std::vector<int> rows(40, 0);
  for (size_t i = 20; i < rows.size(); ++i) rows[i] = 1;
  StageTimes times(rows, 2, 50);
  for (int first = 0; first < 50; ++first) {
    for (int count = 1; first + count <= 50; ++count) {
      times.set(0, first, count, 1 + 2 * count);
      times.set(1, first, count, 1 + 5 * count);
    }
  }
  std::vector<int> devices(40);
  std::iota(devices.begin(), devices.end(), 0);
  const LinkTimes links(40);
  const std::optional<Pipeline> best = MinimisePeriod({times, links, devices});
  // Twenty of two layers and ten of one would do at 6.
  EXPECT_EQ(best->period, 6);
  EXPECT_EQ(best->bound, best->period);
}

}  // namespace
}  // namespace layercake
