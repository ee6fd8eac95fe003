// How many kernels a decode step is, on emulated cards: each costs some microseconds even where
// steps are replayed.

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "tests/golden_models/golden_models.h"
#include "tests/testing/simt/emulation.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

struct Case {
  std::string model;
  int compute_capability;
  int64_t short_context;  // kernels of a layer whose attention is one chunk
  int64_t long_context;   // of one whose attention is divided over blocks
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.model; }

class StepLaunchesTest : public ::testing::TestWithParam<Case> {
 protected:
  // Kernels that ran for a step of one token.
  int64_t CountStep(StagePipeline& pipeline, int64_t position) {
    const std::vector<int32_t> blocks = GoldenBlockTable();
    const int64_t before = simt::NumLaunches();
    EXPECT_OK(pipeline.Step({{position, 1, blocks}}, {1}, {0}));
    return simt::NumLaunches() - before;
  }
};

TEST_P(StepLaunchesTest, OfALayer) {
  const auto directory = GoldenModelsDirectory() / GetParam().model;
  const auto expected = nlohmann::json::parse(std::ifstream(directory / "expected.json"));
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, OpenGoldenModel(directory, expected));
  const auto device = TestCard(GetParam().compute_capability);
  AsCuda(*device).set_use_graphs(false);
  StageLimits limits;
  limits.max_context_tokens = kGoldenBlocks * limits.block_size_tokens;
  LC_ASSERT_OK_AND_ASSIGN(const auto pipeline,
                          StagePipeline::Load(*checkpoint, {}, limits, kGoldenBlocks, *device));
  ASSERT_OK(device->Finish());  // packing weights
  // Looking up the token, the first norm, the last one, and the head.
  constexpr int64_t kAround = 4;
  const int64_t layers = checkpoint->config().num_layers;
  EXPECT_EQ(CountStep(*pipeline, 0), layers * GetParam().short_context + kAround);
  EXPECT_EQ(CountStep(*pipeline, 200), layers * GetParam().long_context + kAround);
}

// Products of q|k|v, of attention's output, of gate|up and down, two norms, preparing attention,
// attention (and joining its parts), SwiGLU. Where products are of bytes, each has its inputs taken
// apart first. Experts are chosen in a product and two kernels more, and rows gathered and
// combined.
INSTANTIATE_TEST_SUITE_P(
    Models, StepLaunchesTest,
    ::testing::Values(Case{"llama-gqa", 80, 9, 10}, Case{"llama-gqa", 52, 9, 10},
                      Case{"llama-held-int4", 80, 9, 10}, Case{"llama-gptq-act-order", 80, 9, 10},
                      Case{"llama-gptq-act-order", 61, 13, 14}, Case{"qwen3-tied", 80, 9, 10},
                      Case{"mixtral", 80, 14, 15}),
    [](const auto& info) {
      std::string name = GoldenTestName({info.param.model, info.index});
      return name + "_" + std::to_string(info.param.compute_capability);
    });

}  // namespace
}  // namespace layercake
