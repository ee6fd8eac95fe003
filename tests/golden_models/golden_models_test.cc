// Every checkpoint of tests/golden/models against what transformers said of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/model/checkpoint.h"
#include "tests/golden_models/golden_models.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "worker/engine/sampler.h"

namespace layercake {
namespace {

using nlohmann::json;

double StandardDeviation(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const double n = static_cast<double>(values.size());
  return std::sqrt(squares / n - sum / n * (sum / n));
}

// The largest difference, in standard deviations of what is expected.
double Distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  double distance = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    distance = std::max(distance, std::abs(static_cast<double>(actual[i]) - expected[i]));
  }
  return distance / StandardDeviation(expected);
}

class GoldenModelsTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto directory = GoldenModelsDirectory() / GetParam();
    expected_ = json::parse(std::ifstream(directory / "expected.json"));
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_, OpenGoldenModel(directory, expected_));
    LC_ASSERT_OK_AND_ASSIGN(device_, Device::CreateCpu(2));
    limits_.max_step_tokens = 64;
    limits_.max_context_tokens = kGoldenBlocks * limits_.block_size_tokens;
  }

  std::unique_ptr<StagePipeline> Load(const std::vector<int64_t>& cuts) {
    auto pipeline = StagePipeline::Load(*checkpoint_, cuts, limits_, kGoldenBlocks, *device_);
    EXPECT_OK(pipeline);
    return *std::move(pipeline);
  }

  GoldenAnswer Answer(StagePipeline& pipeline, const json& prompt) const {
    return Generate(pipeline, prompt, prompt["greedy_ids"].size(), limits_.max_step_tokens);
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  StageLimits limits_;
  json expected_;
};

TEST_P(GoldenModelsTest, AnswersAsTransformersDoes) {
  const auto pipeline = Load({});
  for (const json& prompt : expected_["prompts"]) {
    if (!Comparable(checkpoint_->config(), prompt)) continue;
    const size_t length = prompt["ids"].size();
    SCOPED_TRACE(length);
    const GoldenAnswer answer = Answer(*pipeline, prompt);
    EXPECT_EQ(answer.greedy_ids, prompt["greedy_ids"].get<std::vector<int32_t>>());
    EXPECT_LT(Distance(answer.logits[length - 1], prompt["last_logits"]), 2e-5);
    const std::vector<size_t> positions = prompt["positions"];
    for (size_t i = 0; i < positions.size(); ++i) {
      EXPECT_LT(Distance(answer.logits[positions[i]], prompt["position_logits"][i]), 2e-5)
          << positions[i];
    }
  }
}

TEST_P(GoldenModelsTest, LogprobsAreTransformers) {
  const auto pipeline = Load({});
  for (const json& prompt : expected_["prompts"]) {
    if (!Comparable(checkpoint_->config(), prompt)) continue;
    const std::vector<int32_t> ids = prompt["ids"];
    SCOPED_TRACE(ids.size());
    const GoldenAnswer answer = Answer(*pipeline, prompt);
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      LC_ASSERT_OK_AND_ASSIGN(const SampledToken token, Score(answer.logits[i], ids[i + 1], 0));
      EXPECT_NEAR(token.logprob, prompt["prompt_logprobs"][i].get<float>(), 1e-4) << i;
    }
    for (size_t i = 0; i < prompt["top_logprob_steps"].size(); ++i) {
      const size_t step = prompt["top_logprob_steps"][i];
      std::vector<float> logits = answer.logits[ids.size() - 1 + step];
      LC_ASSERT_OK_AND_ASSIGN(
          const SampledToken token,
          Sample(logits, {.temperature = 0, .logprobs = true, .top_logprobs = 5}, 0));
      EXPECT_NEAR(token.logprob, prompt["greedy_logprobs"][step].get<float>(), 1e-4);
      ASSERT_EQ(token.top.size(), 5);
      for (size_t j = 0; j < 5; ++j) {
        EXPECT_EQ(token.top[j].token_id, prompt["top_logprobs"][i][j][0].get<int32_t>());
        EXPECT_NEAR(token.top[j].logprob, prompt["top_logprobs"][i][j][1].get<float>(), 1e-4);
      }
    }
  }
}

// Greedy ids only: rounding keys and values moves logits, but by less than the golden margins.
TEST_P(GoldenModelsTest, HalfPrecisionKvKeepsGreedyIds) {
  limits_.kv_dtype = DType::kF16;
  const auto pipeline = Load({});
  for (const json& prompt : expected_["prompts"]) {
    if (!Comparable(checkpoint_->config(), prompt)) continue;
    EXPECT_EQ(Answer(*pipeline, prompt).greedy_ids,
              prompt["greedy_ids"].get<std::vector<int32_t>>());
  }
}

// Every cut into two and three stages, and one layer per stage.
std::vector<std::vector<int64_t>> AllCuts(int64_t num_layers) {
  std::vector<std::vector<int64_t>> all;
  for (int64_t first = 0; first <= num_layers; ++first) {
    all.push_back({first});
    for (int64_t second = first; second <= num_layers; ++second) all.push_back({first, second});
  }
  std::vector<int64_t> each;
  for (int64_t layer = 1; layer < num_layers; ++layer) each.push_back(layer);
  all.push_back(each);
  return all;
}

TEST_P(GoldenModelsTest, EveryCutGivesTheSameBits) {
  const json& prompt = expected_["prompts"].back();
  const auto whole = Load({});
  const GoldenAnswer expected = Answer(*whole, prompt);
  for (const std::vector<int64_t>& cuts : AllCuts(checkpoint_->config().num_layers)) {
    const auto pipeline = Load(cuts);
    const GoldenAnswer answer = Answer(*pipeline, prompt);
    EXPECT_EQ(answer.greedy_ids, expected.greedy_ids);
    EXPECT_TRUE(answer.logits == expected.logits) << ::testing::PrintToString(cuts);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModelsTest, ::testing::ValuesIn(GoldenModelNames()),
                         GoldenTestName);

}  // namespace
}  // namespace layercake
