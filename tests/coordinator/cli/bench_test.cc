#include "coordinator/cli/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace layercake {
namespace {

using ::testing::HasSubstr;

// The least of `values` that at least `percent` of them do not exceed, by counting.
double BruteForcePercentile(const std::vector<double>& values, double percent) {
  double best = *std::max_element(values.begin(), values.end());
  for (const double candidate : values) {
    const auto covered = std::count_if(values.begin(), values.end(),
                                       [candidate](double value) { return value <= candidate; });
    if (static_cast<double>(covered) * 100 >= percent * static_cast<double>(values.size())) {
      best = std::min(best, candidate);
    }
  }
  return best;
}

TEST(BenchTest, PercentilesAgreeWithCounting) {
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    std::vector<double> values(std::uniform_int_distribution<size_t>(1, 250)(random));
    for (double& value : values) value = std::uniform_int_distribution<int>(0, 50)(random);
    const Percentiles percentiles = PercentilesOf(values);
    ASSERT_EQ(percentiles.p50, BruteForcePercentile(values, 50)) << values.size();
    ASSERT_EQ(percentiles.p99, BruteForcePercentile(values, 99)) << values.size();
  }
  EXPECT_EQ(PercentilesOf({}).p99, 0);
}

absl::Time At(int64_t ms) { return absl::UnixEpoch() + absl::Milliseconds(ms); }

TEST(BenchTest, SummaryOfTwoRequestsWorkedOutByHand) {
  const std::vector<RequestTrace> traces = {
      {.sent = At(0),
       .ended = At(1000),
       .arrivals = {{At(100), 1}, {At(200), 1}, {At(500), 3}},
       .prompt_tokens = 10},
      {.sent = At(500), .ended = At(2000), .arrivals = {{At(900), 1}}, .prompt_tokens = 20}};
  const BenchSummary summary = Summarise(traces);
  EXPECT_EQ(summary.requests, 2);
  EXPECT_EQ(summary.errors, 0);
  EXPECT_DOUBLE_EQ(summary.wall_seconds, 2);
  EXPECT_EQ(summary.prompt_tokens, 30);
  EXPECT_EQ(summary.output_tokens, 6);
  EXPECT_DOUBLE_EQ(summary.prompt_tokens_per_second, 15);
  EXPECT_DOUBLE_EQ(summary.output_tokens_per_second, 3);
  EXPECT_DOUBLE_EQ(summary.first_token_ms.p50, 100);
  EXPECT_DOUBLE_EQ(summary.first_token_ms.p99, 400);
  // Gaps: 100 once, and 300 shared by three tokens.
  EXPECT_DOUBLE_EQ(summary.between_tokens_ms.p50, 100);
  EXPECT_DOUBLE_EQ(summary.request_output_tokens_per_second.p50, 10);
}

TEST(BenchTest, FailedRequestsCountAsErrorsOnly) {
  const std::vector<RequestTrace> traces = {{.sent = At(0),
                                             .ended = At(10),
                                             .prompt_tokens = 5,
                                             .status = absl::UnavailableError("gone")}};
  const BenchSummary summary = Summarise(traces);
  EXPECT_EQ(summary.errors, 1);
  EXPECT_EQ(summary.prompt_tokens, 0);
  EXPECT_THAT(FormatBench(BenchOptions(), summary), HasSubstr("1: gone"));
}

}  // namespace
}  // namespace layercake
