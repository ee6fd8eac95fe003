#include "coordinator/simulate/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "coordinator/simulate/percentiles.h"

namespace layercake {
namespace {

TEST(DrawLoadTest, SameSeedSameLoadOtherSeedAnother) {
  const LoadOptions options = {.requests = 50,
                               .arrivals_per_second = 3,
                               .prompt_tokens = {1, 1000},
                               .output_tokens = {5, 500},
                               .seed = 7};
  const auto a = DrawLoad(options), b = DrawLoad(options);
  LoadOptions other = options;
  other.seed = 8;
  const auto c = DrawLoad(other);
  int same_prompts = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].arrives_seconds, b[i].arrives_seconds);
    EXPECT_EQ(a[i].prompt_tokens, b[i].prompt_tokens);
    EXPECT_EQ(a[i].output_tokens, b[i].output_tokens);
    same_prompts += a[i].prompt_tokens == c[i].prompt_tokens ? 1 : 0;
  }
  EXPECT_LT(same_prompts, 10);
}

TEST(DrawLoadTest, LengthsFillTheirRangeEvenly) {
  const auto load = DrawLoad({.requests = 30000, .prompt_tokens = {3, 5}, .output_tokens = {9, 9}});
  int counts[9] = {};
  for (const LoadRequest& request : load) {
    ASSERT_GE(request.prompt_tokens, 3);
    ASSERT_LE(request.prompt_tokens, 5);
    ++counts[request.prompt_tokens];
    EXPECT_EQ(request.output_tokens, 9);
    EXPECT_EQ(request.arrives_seconds, 0);
  }
  for (const int tokens : {3, 4, 5}) EXPECT_NEAR(counts[tokens], 10000, 400) << tokens;
}

TEST(DrawLoadTest, ArrivalsAreAPoissonProcess) {
  const auto load = DrawLoad({.requests = 50000, .arrivals_per_second = 4});
  double sum = 0, squares = 0;
  for (size_t i = 1; i < load.size(); ++i) {
    const double gap = load[i].arrives_seconds - load[i - 1].arrives_seconds;
    ASSERT_GT(gap, 0);
    sum += gap;
    squares += gap * gap;
  }
  const double n = static_cast<double>(load.size() - 1);
  const double mean = sum / n;
  EXPECT_NEAR(mean, 0.25, 0.005);
  // An exponential distribution's deviation is its mean.
  EXPECT_NEAR(std::sqrt(squares / n - mean * mean), 0.25, 0.01);
}

TEST(PercentilesTest, AreNearestRank) {
  EXPECT_EQ(PercentilesOf({}).p50, 0);
  EXPECT_EQ(PercentilesOf({3}).p99, 3);
  const Percentiles four = PercentilesOf({4, 1, 3, 2});
  EXPECT_EQ(four.p50, 2);
  EXPECT_EQ(four.p99, 4);
}

}  // namespace
}  // namespace layercake
