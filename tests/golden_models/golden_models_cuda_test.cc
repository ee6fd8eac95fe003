// Every checkpoint of tests/golden/models on a CUDA device, emulated or real, against transformers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/model/checkpoint.h"
#include "tests/golden_models/golden_models.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cublas_lt.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

using nlohmann::json;

// Of the 64 generated.
size_t NumGreedyIds() { return CardIsEmulated() ? 16 : 64; }

// What is held as integers, in the checkpoint or by the worker. On a card all models have been
// tested as it multiplies.
std::vector<std::string> QuantizedNames() {
  std::vector<std::string> names;
  if (!CardIsEmulated()) return names;
  for (const std::string& name : GoldenModelNames()) {
    const auto directory = GoldenModelsDirectory() / name;
    const json expected = json::parse(std::ifstream(directory / "expected.json"));
    const auto checkpoint = OpenGoldenModel(directory, expected);
    if (checkpoint.ok() && (*checkpoint)->config().quantization) names.push_back(name);
  }
  return names;
}

// Of numbers of each kind, with biases and without, of several attention heads.
std::vector<std::string> DenseNames() {
  return {"llama-bias", "llama-gqa", "qwen2-f16-head-dim", "qwen3-moe"};
}

class GoldenModelsCudaTest : public ::testing::TestWithParam<std::string> {
 protected:
  explicit GoldenModelsCudaTest(int compute_capability = 80)
      : cuda_(TestCard(compute_capability)) {}
  void SetUp() override {
    const auto directory = GoldenModelsDirectory() / GetParam();
    expected_ = json::parse(std::ifstream(directory / "expected.json"));
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_, OpenGoldenModel(directory, expected_));
    LC_ASSERT_OK_AND_ASSIGN(cpu_, Device::CreateCpu(1));
    limits_.max_step_tokens = 64;
    limits_.max_context_tokens = kGoldenBlocks * limits_.block_size_tokens;
  }

  // Of the logits' root mean square. Tensor cores take activations to 2^-17 of themselves, dot
  // products of bytes to 2^-16 of the largest of their run.
  double Tolerance() const {
    const CudaTier& tier = AsCuda(*cuda_).tier();
    if (tier.tensor_cores) return 2e-4;
    return tier.dot_products && checkpoint_->config().quantization ? 1e-3 : 2e-5;
  }

  void CheckGreedyIds();
  void CheckCutsAndChunks();

  std::unique_ptr<StagePipeline> Load(const std::vector<int64_t>& cuts,
                                      const std::vector<Device*>& devices) {
    auto pipeline = StagePipeline::Load(*checkpoint_, cuts, limits_, kGoldenBlocks, devices);
    EXPECT_OK(pipeline);
    return *std::move(pipeline);
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> cpu_, cuda_;
  StageLimits limits_;
  json expected_;
};

void GoldenModelsCudaTest::CheckGreedyIds() {
  const auto pipeline = Load({}, {cuda_.get()});
  for (const json& prompt : expected_["prompts"]) {
    std::vector<int32_t> ids = prompt["greedy_ids"];
    if (!Comparable(checkpoint_->config(), prompt)) continue;
    ids.resize(std::min(ids.size(), NumGreedyIds()));
    const GoldenAnswer answer = Generate(*pipeline, prompt, ids.size(), limits_.max_step_tokens);
    EXPECT_EQ(answer.greedy_ids, ids);
    const std::vector<float> expected = prompt["last_logits"];
    const std::vector<float>& actual = answer.logits[prompt["ids"].size() - 1];
    double squares = 0, difference = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      squares += double{expected[i]} * expected[i];
      difference = std::max(difference, std::abs(double{actual[i]} - expected[i]));
    }
    EXPECT_LT(difference, Tolerance() * std::sqrt(squares / static_cast<double>(expected.size())));
  }
}

void GoldenModelsCudaTest::CheckCutsAndChunks() {
  const json& prompt = expected_["prompts"][2];
  const auto whole = Load({}, {cuda_.get()});
  const GoldenAnswer expected = Generate(*whole, prompt, 2, 64);
  const auto cut = Load({1}, {cuda_.get()});
  for (const int64_t chunk : {17, 1}) {
    const GoldenAnswer answer = Generate(*cut, prompt, 2, chunk);
    EXPECT_TRUE(answer.logits == expected.logits) << chunk;
  }
}

TEST_P(GoldenModelsCudaTest, GreedyIdsAreTransformers) { CheckGreedyIds(); }

TEST_P(GoldenModelsCudaTest, CutsAndChunksGiveTheSameBits) { CheckCutsAndChunks(); }

// On tensor cores attention's too. Rounding keys and values moves logits, but by less than the
// golden margins.
TEST_P(GoldenModelsCudaTest, HalfPrecisionKvKeepsGreedyIdsHoweverCut) {
  limits_.kv_dtype = DType::kF16;
  const auto whole = Load({}, {cuda_.get()}), cut = Load({1}, {cuda_.get()});
  for (const json& prompt : expected_["prompts"]) {
    if (!Comparable(checkpoint_->config(), prompt)) continue;
    std::vector<int32_t> ids = prompt["greedy_ids"];
    ids.resize(std::min(ids.size(), NumGreedyIds() / 2));
    const GoldenAnswer answer = Generate(*whole, prompt, ids.size(), limits_.max_step_tokens);
    EXPECT_EQ(answer.greedy_ids, ids);
    EXPECT_TRUE(Generate(*cut, prompt, ids.size(), 5).logits == answer.logits);
  }
}

TEST_P(GoldenModelsCudaTest, StagesOnBothKindsOfDeviceAgreeWithTransformers) {
  const json& prompt = expected_["prompts"][1];
  std::vector<int32_t> ids = prompt["greedy_ids"];
  ids.resize(std::min(ids.size(), NumGreedyIds()));
  for (const auto& devices : {std::vector<Device*>{cpu_.get(), cuda_.get()},
                              std::vector<Device*>{cuda_.get(), cpu_.get()}}) {
    const auto pipeline = Load({1}, devices);
    EXPECT_EQ(Generate(*pipeline, prompt, ids.size(), 64).greedy_ids, ids);
  }
}

// Integers by dot products of bytes.
class GoldenIntegersCudaTest : public GoldenModelsCudaTest {
 protected:
  GoldenIntegersCudaTest() : GoldenModelsCudaTest(61) {}
};

TEST_P(GoldenIntegersCudaTest, GreedyIdsAreTransformers) { CheckGreedyIds(); }

TEST_P(GoldenIntegersCudaTest, CutsAndChunksGiveTheSameBits) { CheckCutsAndChunks(); }

// All products of numbers, whatever their rows.
class GoldenCublasLtTest : public GoldenModelsCudaTest {
 protected:
  void SetUp() override {
    GoldenModelsCudaTest::SetUp();
    const auto functions = LoadCublasLt();
    if (!functions.ok()) GTEST_SKIP() << functions.status();
    LC_ASSERT_OK_AND_ASSIGN(auto cublas,
                            CublasLt::Create(**functions, AsCuda(*cuda_), /*fewest_rows=*/1));
    AsCuda(*cuda_).set_cublas_lt(std::move(cublas));
  }
};

TEST_P(GoldenCublasLtTest, GreedyIdsAreTransformers) { CheckGreedyIds(); }

INSTANTIATE_TEST_SUITE_P(Models, GoldenCublasLtTest, ::testing::ValuesIn(DenseNames()),
                         GoldenTestName);
INSTANTIATE_TEST_SUITE_P(Models, GoldenIntegersCudaTest, ::testing::ValuesIn(QuantizedNames()),
                         GoldenTestName);
INSTANTIATE_TEST_SUITE_P(Models, GoldenModelsCudaTest, ::testing::ValuesIn(GoldenModelNames()),
                         GoldenTestName);

}  // namespace
}  // namespace layercake
