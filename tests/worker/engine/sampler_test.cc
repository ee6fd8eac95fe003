#include "worker/engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

// What SamplingParams says, literally and in double: the probability of every token.
std::vector<double> Distribution(const std::vector<float>& logits, const SamplingSettings& s) {
  std::vector<double> l(logits.begin(), logits.end());
  for (size_t i = 0; i < s.history_ids.size(); ++i) {
    double& logit = l[s.history_ids[i]];
    logit = logit > 0 ? logit / s.repetition_penalty : logit * s.repetition_penalty;
    if (s.history_counts[i] > 0) logit -= s.presence_penalty;
    logit -= double{s.frequency_penalty} * s.history_counts[i];
  }
  for (const int32_t id : s.banned_ids) l[id] = -INFINITY;
  std::vector<size_t> order(l.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return l[a] > l[b]; });
  std::vector<double> p(l.size(), 0);
  if (s.temperature == 0) {
    p[order[0]] = 1;
    return p;
  }
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < order.size()) order.resize(s.top_k);
  const double max = l[order[0]];
  double total = 0;
  for (const size_t id : order) total += p[id] = std::exp((l[id] - max) / s.temperature);
  std::erase_if(order, [&](size_t id) {
    if (p[id] >= s.min_p) return false;
    total -= p[id];
    p[id] = 0;
    return true;
  });
  double sum = 0;
  for (const size_t id : order) {
    if (sum >= s.top_p * total && s.top_p < 1) {
      p[id] = 0;
    } else {
      sum += p[id];
    }
  }
  for (double& probability : p) probability /= sum;
  return p;
}

std::vector<float> NormalLogits(unsigned seed, size_t size) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

int32_t SampleId(std::vector<float> logits, const SamplingSettings& settings, int64_t position) {
  const auto token = Sample(logits, settings, position);
  EXPECT_OK(token);
  return token.ok() ? token->token_id : -1;
}

// Chi-square of many draws against the literal distribution.
void ExpectDistribution(const SamplingSettings& settings, unsigned seed, size_t vocab_size) {
  SCOPED_TRACE(std::to_string(seed) + " of " + std::to_string(vocab_size));
  const int draws = vocab_size > 1000 ? 6000 : 20000;
  const std::vector<float> logits = NormalLogits(seed, vocab_size);
  const std::vector<double> expected = Distribution(logits, settings);
  std::vector<int> counts(logits.size(), 0);
  for (int position = 0; position < draws; ++position) {
    ++counts[SampleId(logits, settings, position)];
  }
  double chi_square = 0, rare = 0;
  int freedom = -1, rare_count = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    const double mean = expected[id] * draws;
    if (mean == 0) {
      EXPECT_EQ(counts[id], 0) << id;
    } else if (mean < 8) {
      rare += mean;
      rare_count += counts[id];
    } else {
      chi_square += (counts[id] - mean) * (counts[id] - mean) / mean;
      ++freedom;
    }
  }
  if (rare > 8) {
    chi_square += (rare_count - rare) * (rare_count - rare) / rare;
    ++freedom;
  }
  // Five standard deviations of a chi-square variable; the draws are fixed by the seed.
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2.0 * std::max(freedom, 1)));
}

// Small vocabularies, and large ones in which the tokens that stay are few or many.
TEST(SamplerTest, DrawsFromTheDocumentedDistribution) {
  const std::vector<int32_t> ids = {0, 5, 9, 12, 33}, counts = {0, 1, 4, 0, 2}, banned = {7, 8};
  const std::vector<SamplingSettings> all = {
      {.seed = 1},
      {.temperature = 0.3f, .seed = 2},
      {.temperature = 2.5f, .seed = 3},
      {.top_k = 7, .seed = 4},
      {.top_k = 400, .seed = 5},
      {.top_p = 0.8f, .seed = 6},
      {.temperature = 0.5f, .top_p = 0.8f, .seed = 7},
      {.min_p = 0.1f, .seed = 8},
      {.min_p = 0.001f, .seed = 9},
      {.temperature = 1.7f, .top_k = 20, .top_p = 0.9f, .min_p = 0.05f, .seed = 10},
      {.temperature = 1.7f, .top_k = 600, .top_p = 0.9f, .min_p = 0.01f, .seed = 11},
      {.top_p = 0.95f, .min_p = 0.2f, .seed = 12},
      {.repetition_penalty = 1.8f,
       .presence_penalty = 0.7f,
       .frequency_penalty = 0.4f,
       .seed = 13,
       .history_ids = ids,
       .history_counts = counts},
      {.repetition_penalty = 0.6f,
       .presence_penalty = -1,
       .frequency_penalty = -0.5f,
       .seed = 14,
       .history_ids = ids,
       .history_counts = counts,
       .banned_ids = banned},
  };
  for (const SamplingSettings& settings : all) {
    for (const size_t vocab_size : {60, 1500}) {
      ExpectDistribution(settings, static_cast<unsigned>(settings.seed), vocab_size);
    }
  }
}

TEST(SamplerTest, GreedyTakesTheLargestAndTheLowestOfEquals) {
  std::vector<float> logits(500, -1);
  logits[77] = logits[400] = 3;
  EXPECT_EQ(SampleId(logits, {.temperature = 0, .seed = 5}, 9), 77);
  const std::vector<int32_t> banned = {77};
  EXPECT_EQ(SampleId(logits, {.temperature = 0, .banned_ids = banned}, 9), 400);
  EXPECT_EQ(SampleId(logits, {.temperature = 1e-42f}, 9), 77);
  EXPECT_EQ(SampleId(logits, {.top_k = 1}, 9), 77);
}

TEST(SamplerTest, GreedyFollowsThePenalties) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const std::vector<float> logits = NormalLogits(seed, 40);
    const std::vector<int32_t> ids = {1, 2, 3, 10, 20, 30, 39}, counts = {0, 1, 2, 3, 0, 1, 5};
    const SamplingSettings settings = {.temperature = 0,
                                       .repetition_penalty = 1.5f,
                                       .presence_penalty = 0.5f,
                                       .frequency_penalty = 0.3f,
                                       .history_ids = ids,
                                       .history_counts = counts};
    const auto p = Distribution(logits, settings);
    EXPECT_EQ(SampleId(logits, settings, 0), std::max_element(p.begin(), p.end()) - p.begin());
  }
}

TEST(SamplerTest, IsAFunctionOfItsArguments) {
  const std::vector<float> logits = NormalLogits(3, 1000);
  std::map<int32_t, int> seen;
  for (int64_t position = 0; position < 50; ++position) {
    const int32_t id = SampleId(logits, {.seed = 42}, position);
    EXPECT_EQ(SampleId(logits, {.seed = 42}, position), id);
    ++seen[id];
  }
  EXPECT_GT(seen.size(), 20);
}

TEST(SamplerTest, LogprobsAreOfTheUnmodifiedLogits) {
  const std::vector<float> logits = NormalLogits(4, 300);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit});
  const std::vector<int32_t> ids = {10, 11, 12, 13}, counts = {1, 2, 3, 4}, banned = {14};
  for (int64_t position = 0; position < 100; ++position) {
    std::vector<float> scratch = logits;
    LC_ASSERT_OK_AND_ASSIGN(const SampledToken token, Sample(scratch,
                                                             {.temperature = 0.5f,
                                                              .top_k = 50,
                                                              .repetition_penalty = 0.5f,
                                                              .presence_penalty = -2,
                                                              .logprobs = true,
                                                              .top_logprobs = 7,
                                                              .history_ids = ids,
                                                              .history_counts = counts,
                                                              .banned_ids = banned},
                                                             position));
    EXPECT_NEAR(token.logprob, logits[token.token_id] - std::log(sum), 1e-5);
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    ASSERT_EQ(token.top.size(), 7);
    for (size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(token.top[i].token_id, order[i]);
      EXPECT_NEAR(token.top[i].logprob, logits[order[i]] - std::log(sum), 1e-5);
    }
  }
}

TEST(SamplerTest, TopLogprobsBreakTiesByTheLowerIdAndEndWithTheVocabulary) {
  const std::vector<float> logits = {1, 2, 1, 2, 1};
  LC_ASSERT_OK_AND_ASSIGN(const SampledToken three, Score(logits, 4, 3));
  EXPECT_EQ(three.token_id, 4);
  EXPECT_EQ(three.top[0].token_id, 1);
  EXPECT_EQ(three.top[1].token_id, 3);
  EXPECT_EQ(three.top[2].token_id, 0);
  EXPECT_EQ(three.logprob, three.top[2].logprob);
  LC_ASSERT_OK_AND_ASSIGN(const SampledToken all, Score(logits, 0, 20));
  EXPECT_EQ(all.top.size(), 5);
}

TEST(SamplerTest, BrokenLogitsAreErrorsThatSayWhere) {
  for (const float broken : {NAN, INFINITY}) {
    for (const float temperature : {0.0f, 1.0f}) {
      std::vector<float> logits = NormalLogits(1, 100);
      logits[37] = broken;
      EXPECT_THAT(Sample(logits, {.temperature = temperature}, 0),
                  StatusIs(absl::StatusCode::kInternal, HasSubstr("token 37 of 100")));
      EXPECT_THAT(Score(logits, 0, 0), StatusIs(absl::StatusCode::kInternal));
    }
  }
}

TEST(SamplerTest, NothingToDrawIsAnError) {
  std::vector<float> logits = {1, -INFINITY, 2};
  const std::vector<int32_t> banned = {0, 2};
  EXPECT_THAT(Sample(logits, {.banned_ids = banned}, 0),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("none of 3")));
}

TEST(SamplerTest, RefusesSettingsOutOfRange) {
  std::vector<float> logits(10, 0);
  const auto status_of = [&](const SamplingSettings& settings) {
    return Sample(logits, settings, 0).status();
  };
  const auto refuses = [](absl::string_view name) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(name)));
  };
  const std::vector<int32_t> outside = {10}, negative = {-1}, one = {1};
  EXPECT_THAT(status_of({.temperature = -0.1f}), refuses("temperature"));
  EXPECT_THAT(status_of({.temperature = NAN}), refuses("temperature"));
  EXPECT_THAT(status_of({.top_k = -1}), refuses("top_k"));
  EXPECT_THAT(status_of({.top_p = 0}), refuses("top_p"));
  EXPECT_THAT(status_of({.top_p = 1.01f}), refuses("top_p"));
  EXPECT_THAT(status_of({.min_p = -0.5f}), refuses("min_p"));
  EXPECT_THAT(status_of({.repetition_penalty = 0}), refuses("repetition_penalty"));
  EXPECT_THAT(status_of({.presence_penalty = 2.5f}), refuses("presence_penalty"));
  EXPECT_THAT(status_of({.frequency_penalty = NAN}), refuses("frequency_penalty"));
  EXPECT_THAT(status_of({.top_logprobs = -1}), refuses("top_logprobs"));
  EXPECT_THAT(status_of({.history_ids = one}), refuses("0 counts for 1"));
  EXPECT_THAT(status_of({.history_ids = outside, .history_counts = one}), refuses("10"));
  EXPECT_THAT(status_of({.banned_ids = negative}), refuses("-1"));
  EXPECT_THAT(Score(logits, 10, 0).status(), refuses("10"));
}

}  // namespace
}  // namespace layercake
