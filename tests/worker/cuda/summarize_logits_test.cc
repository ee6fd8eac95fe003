// Sampling from what a device tells of its logits, against sampling from the logits.

#include "worker/kernels/summarize_logits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tests/testing/kernel_testing.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/engine/row_sampler.h"
#include "worker/engine/sampler.h"

namespace layercake {
namespace {

// Logits with ties, zeros of both signs and -infinities among them, or nothing else.
std::vector<float> SomeLogits(RandomInput& random, int64_t size) {
  std::vector<float> logits = random.Normal(size);
  const int64_t kind = random.Below(6);
  for (float& logit : logits) {
    logit *= 4;
    if (random.Below(4) == 0) logit = std::round(logit);
    if (random.Below(9) == 0) logit = random.Below(2) == 0 ? 0.0f : -0.0f;
    if (random.Below(kind == 0 ? 2 : 9) == 0) logit = -INFINITY;
    if (kind == 1) logit = random.Below(3) == 0 ? -INFINITY : 1.5f;
  }
  return logits;
}

SamplingSettings SomeSettings(RandomInput& random) {
  SamplingSettings settings;
  settings.seed = random.Bits();
  if (random.Below(4) == 0) settings.temperature = 0;
  if (random.Below(2) == 0) settings.temperature = 0.3f + static_cast<float>(random.Below(20)) / 10;
  if (random.Below(3) == 0) settings.top_k = static_cast<int32_t>(1 + random.Below(400));
  if (random.Below(3) == 0) settings.top_p = 0.05f + static_cast<float>(random.Below(95)) / 100;
  if (random.Below(4) == 0) settings.min_p = static_cast<float>(random.Below(30)) / 100;
  if (random.Below(3) == 0) {
    settings.logprobs = true;
    settings.top_logprobs = static_cast<int32_t>(random.Below(8));
  }
  return settings;
}

// Equal to the bit.
void ExpectSame(const SampledToken& a, const SampledToken& b) {
  EXPECT_EQ(a.token_id, b.token_id);
  EXPECT_EQ(a.logprob, b.logprob);
  ASSERT_EQ(a.top.size(), b.top.size());
  for (size_t i = 0; i < a.top.size(); ++i) {
    EXPECT_EQ(a.top[i].token_id, b.top[i].token_id);
    EXPECT_EQ(a.top[i].logprob, b.top[i].logprob);
  }
}

class SummarizeLogitsTest : public ::testing::Test {
 protected:
  SummarizeLogitsTest() : device_(TestCard(80)) { ShuffleThreads(random_.Bits()); }

  // Summarises `logits` of [rows, vocab_size] and gives each row to `visit`.
  template <typename Visit>
  void Summarize(const std::vector<float>& logits, int64_t vocab_size,
                 const std::vector<LogitQuery>& queries, Visit visit) {
    const auto rows = static_cast<int64_t>(queries.size());
    const int64_t strips = NumLogitStrips(vocab_size);
    const Buffer on_device = Upload(*device_, logits);
    const TensorView view = F32View(on_device.As<float>(), rows, vocab_size);
    const Buffer asked = Host(rows * sizeof(LogitQuery));
    const Buffer told = Host(rows * sizeof(LogitSummary));
    const Buffer sums = Host(rows * 2 * strips * sizeof(double));
    std::memcpy(asked.data(), queries.data(), rows * sizeof(LogitQuery));
    SummarizeLogits(view, asked.As<LogitQuery>(), nullptr, told.As<LogitSummary>(),
                    sums.As<double>(), *device_);
    ASSERT_OK(device_->Finish());
    for (int64_t row = 0; row < rows; ++row) {
      const auto fetch = [&](int64_t strip, std::span<float> some) {
        std::memcpy(some.data(), &logits[row * vocab_size + strip * kLogitStrip],
                    some.size() * sizeof(float));
        return absl::OkStatus();
      };
      const double* const of_row = sums.As<double>() + 2 * row * strips;
      visit(row, SummarizedRow{.vocab_size = vocab_size,
                               .summary = told.As<LogitSummary>()[row],
                               .sums = {of_row, static_cast<size_t>(strips)},
                               .plain_sums = {of_row + strips, static_cast<size_t>(strips)},
                               .fetch = fetch});
    }
  }

  Buffer Host(int64_t bytes) { return *device_->AllocateHost(bytes, "test"); }

  RandomInput random_;
  std::unique_ptr<Device> device_;
};

TEST_F(SummarizeLogitsTest, SamplesWhatTheWholeRowSamples) {
  int from_summary = 0, all = 0;
  for (int seed = 0; seed < 60; ++seed) {
    const int64_t vocab_size = 1 + random_.Below(seed % 3 == 0 ? 30 : 3000);
    const int64_t rows = 1 + random_.Below(4);
    std::vector<float> logits;
    std::vector<SamplingSettings> settings;
    std::vector<LogitQuery> queries;
    for (int64_t row = 0; row < rows; ++row) {
      const auto some = SomeLogits(random_, vocab_size);
      logits.insert(logits.end(), some.begin(), some.end());
      settings.push_back(SomeSettings(random_));
      queries.push_back(*QueryToSample(settings.back()));
    }
    Summarize(logits, vocab_size, queries, [&](int64_t row, const SummarizedRow& summarized) {
      const auto first = logits.begin() + row * vocab_size;
      std::vector<float> scratch(first, first + vocab_size);
      const auto expected = Sample(std::span(scratch), settings[row], seed);
      const auto sampled = SampleSummarized(summarized, settings[row], seed);
      ASSERT_EQ(sampled.status(), expected.status());
      ++all;
      if (!expected.ok() || !sampled->has_value()) return;
      ++from_summary;
      ExpectSame(**sampled, *expected);
    });
    ASSERT_FALSE(HasFailure()) << random_.seed();
  }
  EXPECT_GT(from_summary, all / 2);
}

TEST_F(SummarizeLogitsTest, ScoresWhatTheWholeRowScores) {
  for (int seed = 0; seed < 20; ++seed) {
    const int64_t vocab_size = 1 + random_.Below(2000);
    const auto logits = SomeLogits(random_, vocab_size);
    const auto id = static_cast<int32_t>(random_.Below(vocab_size));
    const auto rivals = static_cast<int32_t>(random_.Below(6));
    Summarize(logits, vocab_size, {QueryToScore(id)}, [&](int64_t, const SummarizedRow& row) {
      const auto expected = Score(logits, id, rivals);
      const auto scored = ScoreSummarized(row, id, rivals);
      ASSERT_EQ(scored.status(), expected.status());
      if (expected.ok() && scored->has_value()) ExpectSame(**scored, *expected);
    });
    ASSERT_FALSE(HasFailure()) << random_.seed();
  }
}

TEST_F(SummarizeLogitsTest, TellsTheFirstBadLogit) {
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> logits = random_.Normal(1500);
    logits[1300] = logits[700] = bad;
    Summarize(logits, 1500, {LogitQuery{.scale = 1}}, [&](int64_t, const SummarizedRow& row) {
      EXPECT_EQ(row.summary.bad_id, 700);
      const SamplingSettings settings;
      std::vector<float> scratch = logits;
      EXPECT_EQ(SampleSummarized(row, settings, 3).status(),
                Sample(std::span(scratch), settings, 3).status());
    });
  }
}

TEST_F(SummarizeLogitsTest, ListsTheLikeliestInOrder) {
  for (int seed = 0; seed < 20; ++seed) {
    const int64_t vocab_size = 1 + random_.Below(4000);
    const auto logits = SomeLogits(random_, vocab_size);
    std::vector<int32_t> order;
    for (int32_t id = 0; id < vocab_size; ++id) {
      if (logits[id] > -INFINITY) order.push_back(id);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    order.resize(std::min<size_t>(order.size(), kMaxLikeliest));
    Summarize(logits, vocab_size, {LogitQuery{}}, [&](int64_t, const SummarizedRow& row) {
      ASSERT_EQ(row.summary.num_likeliest, static_cast<int32_t>(order.size()));
      for (size_t i = 0; i < order.size(); ++i) {
        ASSERT_EQ(row.summary.likeliest[i].id, order[i]) << random_.seed();
        ASSERT_EQ(row.summary.likeliest[i].logit, logits[order[i]]);
      }
    });
  }
}

TEST_F(SummarizeLogitsTest, ChangesLogitsFirst) {
  for (int seed = 0; seed < 20; ++seed) {
    const int64_t vocab_size = 8 + random_.Below(3000), rows = 1 + random_.Below(3);
    std::vector<float> logits, expected;
    const Buffer asked = Host(rows * sizeof(LogitQuery));
    std::vector<LogitChange> changes(random_.Below(5));  // of nobody
    for (int64_t row = 0; row < rows; ++row) {
      auto some = SomeLogits(random_, vocab_size);
      some[1] = INFINITY;
      some[vocab_size - 1] = NAN;
      logits.insert(logits.end(), some.begin(), some.end());
      LogitQuery query = {.first_change = static_cast<int64_t>(changes.size())};
      query.repetition_penalty = 0.8f + static_cast<float>(random_.Below(10)) / 10;
      query.presence_penalty = 0.3f;
      query.frequency_penalty = -0.7f;
      for (const bool ban : {true, false}) {
        for (int32_t id = 0; id < vocab_size; ++id) {
          if (random_.Below(id < 3 ? 2 : 4) > 0) continue;
          const auto times = static_cast<int32_t>(random_.Below(3));
          changes.push_back({id, times});
          ++(ban ? query.num_banned : query.num_penalized);
          float& logit = some[id];
          if (ban) {
            logit = logit < INFINITY ? -INFINITY : logit;
            continue;
          }
          logit = logit > 0 ? logit / query.repetition_penalty : logit * query.repetition_penalty;
          if (times == 0) continue;
          logit -= query.presence_penalty;
          logit -= query.frequency_penalty * static_cast<float>(times);
        }
      }
      expected.insert(expected.end(), some.begin(), some.end());
      asked.As<LogitQuery>()[row] = query;
    }
    const Buffer on_device = Upload(*device_, logits);
    const Buffer told = Host(rows * sizeof(LogitSummary));
    const Buffer named = Host(changes.size() * sizeof(LogitChange));
    std::memcpy(named.data(), changes.data(), changes.size() * sizeof(LogitChange));
    SummarizeLogits(F32View(on_device.As<float>(), rows, vocab_size), asked.As<LogitQuery>(),
                    named.As<LogitChange>(), told.As<LogitSummary>(), nullptr, *device_);
    const auto bytes = static_cast<int64_t>(logits.size() * sizeof(float));
    const TensorView all = F32View(on_device.As<float>(), 1, rows * vocab_size);
    ASSERT_OK(device_->CopyToHost(logits.data(), all, bytes));
    EXPECT_EQ(std::memcmp(logits.data(), expected.data(), bytes), 0) << random_.seed();
    for (int64_t row = 0; row < rows; ++row) EXPECT_EQ(told.As<LogitSummary>()[row].bad_id, 1);
  }
}

TEST_F(SummarizeLogitsTest, SaysSoWhereTooManyLogitsCouldBeTheLikeliest) {
  // One thread's logits are all above those of the others.
  std::vector<float> logits(512 * 1200, 0);
  for (size_t i = 0; i < 1200; ++i) logits[i * 512] = 1 + static_cast<float>(i);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] -= static_cast<float>(i % 512) / 1000;
  Summarize(logits, static_cast<int64_t>(logits.size()), {LogitQuery{.scale = 1}},
            [&](int64_t, const SummarizedRow& row) {
              EXPECT_EQ(row.summary.num_likeliest, -1);
              const auto sampled = SampleSummarized(row, SamplingSettings{}, 1);
              ASSERT_OK(sampled);
              EXPECT_FALSE(sampled->has_value());
            });
}

// Rows that their summary suffices for beside those that are copied, in one call.
TEST_F(SummarizeLogitsTest, RowSamplersOfACardAndACpuAgree) {
  const auto cpu = Device::CreateCpu(1);
  ASSERT_OK(cpu);
  int copied = 0, changed = 0;
  for (int seed = 0; seed < 60; ++seed) {
    const int64_t vocab_size = 1 + random_.Below(1500), rows = 1 + random_.Below(6);
    std::vector<int32_t> history, counts;
    for (int32_t id = 0; id < vocab_size; ++id) {
      if (random_.Below(seed % 4 == 0 ? 1 : 3) > 0) continue;
      history.push_back(id);
      counts.push_back(static_cast<int32_t>(random_.Below(3)));
    }
    if (history.empty()) history.push_back(0), counts.push_back(1);
    if (seed % 5 == 0) history[0] = static_cast<int32_t>(vocab_size);  // outside the vocabulary
    std::vector<float> logits;
    std::vector<SamplingSettings> settings(rows);
    std::vector<RowRequest> requests(rows);
    for (int64_t row = 0; row < rows; ++row) {
      const auto some = SomeLogits(random_, vocab_size);
      logits.insert(logits.end(), some.begin(), some.end());
      settings[row] = SomeSettings(random_);
      if (random_.Below(3) == 0) {
        settings[row].history_ids = history;
        settings[row].history_counts = counts;
        settings[row].repetition_penalty = random_.Below(2) == 0 ? 1 : 1.3f;
        settings[row].presence_penalty = random_.Below(2) == 0 ? 0 : 0.4f;
        settings[row].frequency_penalty = random_.Below(2) == 0 ? 0 : -0.5f;
      }
      if (random_.Below(4) == 0) {
        settings[row].banned_ids = std::span(history).first(1 + random_.Below(history.size()));
      }
      if (random_.Below(4) == 0) {  // more tokens are kept than a summary has
        settings[row].temperature = 9;
        settings[row].top_p = 0.97f;
      }
      const auto query = QueryToSample(settings[row]);
      copied += query.has_value() ? 0 : 1;
      changed += query.has_value() && query->num_banned + query->num_penalized > 0 ? 1 : 0;
      requests[row].position = seed;
      if (random_.Below(4) > 0) requests[row].sampling = &settings[row];
      // Now and then outside the vocabulary.
      if (random_.Below(2) == 0) {
        requests[row].known_id = static_cast<int32_t>(random_.Below(vocab_size + 2)) - 1;
      }
      requests[row].known_top_logprobs = static_cast<int32_t>(random_.Below(300));
    }
    std::vector<std::vector<RowResult>> results;
    for (Device* device : {device_.get(), cpu->get()}) {
      const Buffer buffer = Upload(*device, logits);
      LC_ASSERT_OK_AND_ASSIGN(RowSampler sampler, RowSampler::Create(rows, vocab_size, *device));
      ASSERT_OK(sampler.Run(F32View(buffer.As<float>(), rows, vocab_size), requests,
                            results.emplace_back(rows), *device));
    }
    for (int64_t row = 0; row < rows; ++row) {
      ASSERT_EQ(results[0][row].status, results[1][row].status);
      if (!results[0][row].status.ok()) continue;
      ExpectSame(results[0][row].sampled, results[1][row].sampled);
      ExpectSame(results[0][row].known, results[1][row].known);
    }
    ASSERT_FALSE(HasFailure()) << random_.seed();
  }
  EXPECT_GT(copied, 0);
  EXPECT_GT(changed, 0);
}

}  // namespace
}  // namespace layercake
