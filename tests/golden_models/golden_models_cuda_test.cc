// Every checkpoint of tests/golden/models on an emulated CUDA device, against transformers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/model/checkpoint.h"
#include "tests/testing/emulated_device.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "worker/engine/sampler.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr int64_t kBlocks = 20;
// Of the 64 generated: emulation is slow.
constexpr size_t kGreedyIds = 16;

std::filesystem::path ModelsDirectory() {
  return std::filesystem::path(LAYERCAKE_SOURCE_DIR) / "tests/golden/models";
}

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(ModelsDirectory())) {
    if (std::filesystem::exists(entry.path() / "expected.json")) {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

class GoldenModelsCudaTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto directory = ModelsDirectory() / GetParam();
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_, Checkpoint::Open(directory));
    LC_ASSERT_OK_AND_ASSIGN(cpu_, Device::CreateCpu(1));
    cuda_ = EmulatedDevice();
    expected_ = json::parse(std::ifstream(directory / "expected.json"));
    limits_.max_step_tokens = 64;
    limits_.max_context_tokens = kBlocks * limits_.block_size_tokens;
    blocks_.resize(kBlocks);
    for (int32_t i = 0; i < kBlocks; ++i) blocks_[i] = (i * 7 + 3) % kBlocks;
  }

  std::unique_ptr<StagePipeline> Load(const std::vector<int64_t>& cuts,
                                      const std::vector<Device*>& devices) {
    auto pipeline = StagePipeline::Load(*checkpoint_, cuts, limits_, kBlocks, devices);
    EXPECT_OK(pipeline);
    return *std::move(pipeline);
  }

  // Logits of a prompt's tokens and of those drawn after it, which are greedy.
  struct Answer {
    std::vector<std::vector<float>> logits;
    std::vector<int32_t> ids;
  };
  Answer Generate(StagePipeline& pipeline, const json& prompt, size_t count, int64_t chunk) {
    Answer answer;
    std::vector<int32_t> ids = prompt["ids"];
    for (int64_t position = 0;;) {
      auto logits = pipeline.Run(ids, position, chunk, blocks_);
      EXPECT_OK(logits);
      for (auto& row : *logits) answer.logits.push_back(std::move(row));
      if (answer.ids.size() == count) return answer;
      std::vector<float> last = answer.logits.back();
      const auto token = Sample(last, {.temperature = 0}, position);
      EXPECT_OK(token);
      answer.ids.push_back(token->token_id);
      position += static_cast<int64_t>(ids.size());
      ids = {token->token_id};
    }
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> cpu_, cuda_;
  StageLimits limits_;
  json expected_;
  std::vector<int32_t> blocks_;
};

TEST_P(GoldenModelsCudaTest, GreedyIdsAreTransformers) {
  const auto pipeline = Load({}, {cuda_.get()});
  for (const json& prompt : expected_["prompts"]) {
    std::vector<int32_t> ids = prompt["greedy_ids"];
    if (ids.empty()) continue;
    ids.resize(kGreedyIds);
    const Answer answer = Generate(*pipeline, prompt, ids.size(), limits_.max_step_tokens);
    EXPECT_EQ(answer.ids, ids);
    const std::vector<float> expected = prompt["last_logits"];
    const std::vector<float>& actual = answer.logits[prompt["ids"].size() - 1];
    double squares = 0, difference = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      squares += double{expected[i]} * expected[i];
      difference = std::max(difference, std::abs(double{actual[i]} - expected[i]));
    }
    EXPECT_LT(difference, 2e-5 * std::sqrt(squares / static_cast<double>(expected.size())));
  }
}

TEST_P(GoldenModelsCudaTest, CutsAndChunksGiveTheSameBits) {
  const json& prompt = expected_["prompts"][2];
  const auto whole = Load({}, {cuda_.get()});
  const Answer expected = Generate(*whole, prompt, 2, 64);
  const auto cut = Load({1}, {cuda_.get()});
  for (const int64_t chunk : {17, 1}) {
    const Answer answer = Generate(*cut, prompt, 2, chunk);
    EXPECT_TRUE(answer.logits == expected.logits) << chunk;
  }
}

TEST_P(GoldenModelsCudaTest, StagesOnBothKindsOfDeviceAgreeWithTransformers) {
  const json& prompt = expected_["prompts"][1];
  std::vector<int32_t> ids = prompt["greedy_ids"];
  ids.resize(kGreedyIds);
  for (const auto& devices : {std::vector<Device*>{cpu_.get(), cuda_.get()},
                              std::vector<Device*>{cuda_.get(), cpu_.get()}}) {
    const auto pipeline = Load({1}, devices);
    EXPECT_EQ(Generate(*pipeline, prompt, ids.size(), 64).ids, ids);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModelsCudaTest, ::testing::ValuesIn(ModelNames()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
                           return name;
                         });

}  // namespace
}  // namespace layercake
