// Models that people serve, by what their authors publish: parameter counts, and bytes by an
// arithmetic of this file's own.

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/model/config.h"
#include "common/model/costs.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

absl::StatusOr<ModelConfig> Read(const std::string& name) {
  std::ifstream file(absl::StrCat(LAYERCAKE_SOURCE_DIR, "/tests/configs/", name, ".json"));
  return ParseModelConfig(std::string(std::istreambuf_iterator<char>(file), {}));
}

int64_t AllBytes(const ModelConfig& config) {
  return StageWeightBytes(config, {0, config.num_layers, true, true});
}

struct Published {
  const char* name;
  double total;
  double active;
  double active_tolerance = 0.01;  // authors round, and count the tables or not
};

class PublishedModelsTest : public testing::TestWithParam<Published> {};

TEST_P(PublishedModelsTest, HaveTheParametersTheirAuthorsCount) {
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read(GetParam().name));
  EXPECT_NEAR(NumParameters(config) / GetParam().total, 1, 0.015);
  EXPECT_NEAR(NumActiveParameters(config) / GetParam().active, 1, GetParam().active_tolerance);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedModelsTest,
                         testing::Values(Published{"qwen1.5-1.8b-chat-gptq-int4", 1.84e9, 1.84e9},
                                         Published{"chatglm3-6b", 6.2436e9, 6.2436e9},
                                         Published{"llama-3-8b", 8.03e9, 8.03e9},
                                         Published{"llama-3-70b", 70.6e9, 70.6e9},
                                         Published{"llama-2-70b", 69.0e9, 69.0e9},
                                         Published{"mistral-7b-v0.3", 7.25e9, 7.25e9},
                                         Published{"qwen3-8b", 8.19e9, 8.19e9},
                                         Published{"glm-4-9b-0414", 9.40e9, 9.40e9},
                                         Published{"mixtral-8x7b", 46.7e9, 12.9e9},
                                         Published{"qwen3-30b-a3b", 30.5e9, 3.3e9, 0.02},
                                         Published{"deepseek-v3", 671e9, 37e9, 0.02},
                                         Published{"kimi-k2", 1.04e12, 32e9, 0.03},
                                         Published{"kimi-k2-thinking", 1.04e12, 32e9, 0.03},
                                         Published{"minimax-m2", 230e9, 10e9, 0.11},
                                         Published{"ernie-4.5-21b-a3b", 21.8e9, 3e9, 0.13}),
                         [](const auto& info) {
                           std::string name;
                           for (const char* c = info.param.name; *c != 0; ++c)
                             name += std::isalnum(*c) ? *c : '_';
                           return name;
                         });

TEST(PublishedModelsTest, HaveTheReferenceImplementationsParametersExactly) {
  std::ifstream file(LAYERCAKE_SOURCE_DIR "/tests/configs/parameters.json");
  const auto counts = nlohmann::json::parse(file)["parameters"];
  ASSERT_GE(counts.size(), 14u);
  for (const auto& [name, count] : counts.items()) {
    LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read(name));
    EXPECT_EQ(static_cast<int64_t>(NumParameters(config)), count.get<int64_t>()) << name;
  }
}

TEST(PublishedModelsTest, GptqLayersAreHalfAByteAWeightAndAScalePerGroup) {
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read("qwen1.5-1.8b-chat-gptq-int4"));
  const int64_t weights = 4 * 2048 * 2048 + 3 * 2048 * 5504;
  const int64_t biases_and_norms = 4 * (3 * 2048 + 2 * 2048);
  EXPECT_EQ(LayerWeightBytes(config, 0), weights / 2 + weights / 128 * 2 + biases_and_norms);
  EXPECT_EQ(EmbeddingWeightBytes(config), int64_t{151936} * 2048 * 2);
  EXPECT_EQ(HeadWeightBytes(config), int64_t{151936} * 2048 * 2 + 2048 * 4);
}

TEST(PublishedModelsTest, KimiThinkingQuantizesItsExpertsAlone) {
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read("kimi-k2-thinking"));
  const double expert = 3.0 * 7168 * 2048;
  const double attention =
      7168.0 * 1536 + 1536 * 64 * 192 + 7168 * 576 + 512 * 64 * 256 + 64 * 128 * 7168;
  const double experts = 60 * 384 * expert * (0.5 + 2.0 / 32);
  const double others =
      2 * (60 * (expert + 384 * 7168) + 61 * attention + 3.0 * 7168 * 18432 + 2.0 * 163840 * 7168);
  EXPECT_NEAR(static_cast<double>(AllBytes(config)) / (experts + others), 1, 1e-3);
  EXPECT_NEAR(static_cast<double>(AllBytes(config)) / 594e9, 1, 0.01) << "as published";
}

TEST(PublishedModelsTest, Fp8BlocksAreAByteAWeightAndAScalePerBlock) {
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read("minimax-m2"));
  const double quantized = 62.0 * (2 * 3072 * 6144 + 2 * 3072 * 1024 + 256.0 * 3 * 3072 * 1536);
  const double kept = 2 * (2.0 * 200064 * 3072 + 62 * 256 * 3072);
  const double bytes = quantized * (1 + 4.0 / (128 * 128)) + kept;
  EXPECT_NEAR(static_cast<double>(AllBytes(config)) / bytes, 1, 1e-3);
}

TEST(PublishedModelsTest, ErnieHasOneDenseLayer) {
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read("ernie-4.5-21b-a3b"));
  const int64_t attention = 2 * (2560 * 2560 * 2 + 2 * 2560 * 512) + 2 * 2560 * 4;
  EXPECT_EQ(LayerWeightBytes(config, 0), attention + 2 * 3 * 2560 * 12288);
  const int64_t expert = 2 * 3 * 2560 * 1536;
  EXPECT_EQ(LayerExpertBytes(config, 27), 64 * expert);
  EXPECT_EQ(LayerWeightBytes(config, 27), attention + 66 * expert + 2 * 64 * 2560 + 64 * 4);
  LC_ASSERT_OK_AND_ASSIGN(const ModelConfig tied, Read("ernie-4.5-21b-a3b"));
  EXPECT_EQ(EmbeddingWeightBytes(tied), int64_t{103424} * 2560 * 2) << "and once more as the head";
}

TEST(PublishedModelsTest, KvPerTokenIsWhatAttentionKeeps) {
  const struct {
    const char* name;
    int64_t numbers;  // per token and layer
  } kCases[] = {{"llama-3-8b", 2 * 8 * 128},
                {"chatglm3-6b", 2 * 2 * 128},
                {"kimi-k2", 512 + 64},
                {"minimax-m2", 2 * 8 * 128},
                {"ernie-4.5-21b-a3b", 2 * 4 * 128}};
  for (const auto& c : kCases) {
    LC_ASSERT_OK_AND_ASSIGN(const ModelConfig config, Read(c.name));
    const StageLimits limits{.block_size_tokens = 16, .kv_dtype = DType::kF16};
    EXPECT_EQ(LayerBlockBytes(config, limits), 16 * c.numbers * 2) << c.name;
  }
}

}  // namespace
}  // namespace layercake
