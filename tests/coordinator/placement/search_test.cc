#include "coordinator/placement/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/coordinator/placement/fixtures.h"

namespace layercake {
namespace {

// Small whole numbers, so that equal times are common and sums are exact.
StageTimes RandomTimes(std::mt19937& random, int num_devices, int num_layers) {
  const auto upto = [&random](int most) {
    return std::uniform_int_distribution<int>(0, most)(random);
  };
  StageTimes times(num_devices, num_layers);
  const int chance_of_no_fit = upto(60);
  const bool any_shape = upto(1) == 1;
  for (int device = 0; device < num_devices; ++device) {
    const int overhead = upto(3);
    std::vector<int> layers(num_layers);
    for (int& layer : layers) layer = upto(9);
    for (int first = 0; first < num_layers; ++first) {
      for (int count = 1; first + count <= num_layers; ++count) {
        if (upto(99) < chance_of_no_fit) continue;
        const int work =
            std::accumulate(layers.begin() + first, layers.begin() + first + count, overhead);
        times.set(device, first, count, any_shape ? upto(20) : work);
      }
    }
  }
  return times;
}

struct Best {
  bool found = false;
  double slowest = 0;
  double sum_of_slowest = 0;  // smallest sum among the pipelines of the smallest slowest stage
  double sum = 0;
  size_t stages_of_sum = 0;  // fewest among those of the smallest sum
};

Best BruteForce(const StageTimes& times, const std::vector<int>* order) {
  Best best;
  ForEachPipeline(times.num_devices(), times.num_layers(),
                  [&](const std::vector<StageChoice>& stages) {
                    double slowest = 0;
                    double sum = 0;
                    size_t rank = 0;
                    for (const StageChoice& stage : stages) {
                      if (order != nullptr) {
                        const size_t at =
                            std::find(order->begin(), order->end(), stage.device) - order->begin();
                        if (at < rank) return;
                        rank = at;
                      }
                      slowest = std::max(slowest, times.at(stage.device, stage.first, stage.count));
                      sum += times.at(stage.device, stage.first, stage.count);
                    }
                    if (sum == kDoesNotFit) return;
                    if (!best.found || slowest < best.slowest ||
                        (slowest == best.slowest && sum < best.sum_of_slowest)) {
                      best.slowest = slowest;
                      best.sum_of_slowest = sum;
                    }
                    if (!best.found || sum < best.sum ||
                        (sum == best.sum && stages.size() < best.stages_of_sum)) {
                      best.sum = sum;
                      best.stages_of_sum = stages.size();
                    }
                    best.found = true;
                  });
  return best;
}

void ExpectPartition(const StageTimes& times, const Pipeline& pipeline) {
  int next = 0;
  double slowest = 0;
  double sum = 0;
  for (const StageChoice& stage : pipeline.stages) {
    ASSERT_EQ(stage.first, next);
    next += stage.count;
    slowest = std::max(slowest, times.at(stage.device, stage.first, stage.count));
    sum += times.at(stage.device, stage.first, stage.count);
  }
  ASSERT_EQ(next, times.num_layers());
  ASSERT_EQ(pipeline.slowest, slowest);
  ASSERT_EQ(pipeline.sum, sum);
}

TEST(SearchTest, AgreesWithBruteForceOnRandomCases) {
  std::mt19937 random(20240611);
  int feasible = 0;
  for (int i = 0; i < 20000; ++i) {
    const int num_devices = std::uniform_int_distribution<int>(1, 4)(random);
    const int num_layers = std::uniform_int_distribution<int>(1, 7)(random);
    const StageTimes times = RandomTimes(random, num_devices, num_layers);
    DeviceOrders orders{.every = i % 3 != 0};
    if (!orders.every) {
      std::vector<int> order(num_devices);
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      orders.listed.push_back(order);
    }
    const Best best = BruteForce(times, orders.every ? nullptr : &orders.listed[0]);
    const std::optional<Pipeline> slowest = MinimiseSlowest(times, orders);
    const std::optional<Pipeline> sum = MinimiseSum(times, orders);
    ASSERT_EQ(slowest.has_value(), best.found) << "case " << i;
    ASSERT_EQ(sum.has_value(), best.found) << "case " << i;
    if (!best.found) continue;
    ++feasible;
    ExpectPartition(times, *slowest);
    ExpectPartition(times, *sum);
    ASSERT_EQ(slowest->slowest, best.slowest) << "case " << i;
    ASSERT_EQ(slowest->sum, best.sum_of_slowest) << "case " << i;
    ASSERT_EQ(sum->sum, best.sum) << "case " << i;
    if (orders.every) {
      ASSERT_EQ(sum->stages.size(), best.stages_of_sum) << "case " << i;
    }
  }
  EXPECT_GT(feasible, 10000);
}

TEST(SearchTest, SumKeepsTheBoundOnTheSlowestStage) {
  StageTimes times(2, 2);
  times.set(0, 0, 2, 10);
  times.set(0, 0, 1, 6);
  times.set(1, 1, 1, 7);
  const DeviceOrders orders{.every = true};
  EXPECT_EQ(MinimiseSum(times, orders)->sum, 10);
  EXPECT_EQ(MinimiseSum(times, orders, 9)->sum, 13);
  EXPECT_FALSE(MinimiseSum(times, orders, 6).has_value());
}

TEST(SearchTest, FasterPrefixNeedNotLeadToTheSmallerSum) {
  // The quickest way to place layer 0 alone (device 0) forces the slow device 1 onto the rest.
  StageTimes times(2, 2);
  times.set(0, 0, 1, 1);
  times.set(1, 0, 1, 4);
  times.set(0, 1, 1, 4);
  times.set(1, 1, 1, 4);
  const std::optional<Pipeline> best = MinimiseSlowest(times, {.every = true});
  EXPECT_EQ(best->slowest, 4);
  EXPECT_EQ(best->sum, 5);
}

}  // namespace
}  // namespace layercake
