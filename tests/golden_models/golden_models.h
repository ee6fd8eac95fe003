#pragma once

// The checkpoints of tests/golden/models, and a model's answer to one of their prompts.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/model/checkpoint.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "worker/engine/sampler.h"

namespace layercake {

inline constexpr int64_t kGoldenBlocks = 20;

// LAYERCAKE_GOLDEN_MODELS says where they are when there is no source tree.
inline std::filesystem::path GoldenModelsDirectory() {
  if (const char* const moved = std::getenv("LAYERCAKE_GOLDEN_MODELS")) return moved;
  return std::filesystem::path(LAYERCAKE_SOURCE_DIR) / "tests/golden/models";
}

inline std::vector<std::string> GoldenModelNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(GoldenModelsDirectory())) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A parametrised test's name: a model's without what is no letter or digit.
inline std::string GoldenTestName(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
  return name;
}

// The checkpoint, with its weights held as what is expected of it was made with.
inline absl::StatusOr<std::unique_ptr<Checkpoint>> OpenGoldenModel(
    const std::filesystem::path& directory, const nlohmann::json& expected) {
  LC_ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::Open(directory));
  LC_RETURN_IF_ERROR(checkpoint->Validate());
  const std::string weights = expected.value("weights", "");
  if (weights == "int8") checkpoint->HoldWeightsAs(v1::WEIGHT_TYPE_INT8);
  if (weights == "int4") checkpoint->HoldWeightsAs(v1::WEIGHT_TYPE_INT4);
  return checkpoint;
}

// Blocks in no order, so that a table that is ignored shows.
inline std::vector<int32_t> GoldenBlockTable() {
  std::vector<int32_t> ids(kGoldenBlocks);
  for (int32_t i = 0; i < kGoldenBlocks; ++i) ids[i] = (i * 7 + 3) % kGoldenBlocks;
  return ids;
}

// Beyond the length trained at, transformers' dynamic scaling depends on how long the prompt is,
// ours on a token's position: see worker/model/rotary.h.
inline bool Comparable(const ModelConfig& config, const nlohmann::json& prompt) {
  return config.rope_scaling.type != RopeScaling::Type::kDynamic ||
         static_cast<int64_t>(prompt["ids"].size()) <= config.max_context_tokens;
}

// Logits of a prompt's tokens and of those drawn after it, which are greedy.
struct GoldenAnswer {
  std::vector<std::vector<float>> logits;
  std::vector<int32_t> greedy_ids;
};

// Runs the prompt in chunks of `chunk` tokens and draws `count` more.
inline GoldenAnswer Generate(StagePipeline& pipeline, const nlohmann::json& prompt, size_t count,
                             int64_t chunk) {
  GoldenAnswer answer;
  const std::vector<int32_t> blocks = GoldenBlockTable();
  std::vector<int32_t> ids = prompt["ids"];
  for (int64_t position = 0;;) {
    auto logits = pipeline.Run(ids, position, chunk, blocks);
    EXPECT_OK(logits);
    for (auto& row : *logits) answer.logits.push_back(std::move(row));
    if (answer.greedy_ids.size() == count) return answer;
    std::vector<float> last = answer.logits.back();
    const auto token = Sample(last, {.temperature = 0}, position);
    EXPECT_OK(token);
    answer.greedy_ids.push_back(token->token_id);
    position += static_cast<int64_t>(ids.size());
    ids = {token->token_id};
  }
}

}  // namespace layercake
