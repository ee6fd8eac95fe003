// Steps that are replayed give the bits of steps that are launched, emulated or on a card.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "tests/golden_models/golden_models.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

constexpr int64_t kBlocks = 64;
constexpr int64_t kMaxContext = 600;
constexpr size_t kMaxSequences = 4;

struct Sequence {
  std::vector<int32_t> blocks;
  int64_t length = 0;
};

class DecodeGraphsTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_,
                            Checkpoint::Open((GoldenModelsDirectory() / GetParam()).string()));
    device_ = TestCard();
    ShuffleThreads(random_.Bits());
    limits_.max_step_tokens = 160;
    limits_.max_batch_sequences = kMaxSequences;
    limits_.max_context_tokens = kMaxContext;
    free_.resize(kBlocks);
    std::iota(free_.begin(), free_.end(), 0);
    replayed_ = Load(true);
    launched_ = Load(false);
  }

  std::unique_ptr<StagePipeline> Load(bool use_graphs) {
    AsCuda(*device_).set_use_graphs(use_graphs);
    auto pipeline = StagePipeline::Load(*checkpoint_, {1}, limits_, kBlocks, *device_);
    CHECK(pipeline.ok()) << pipeline.status();
    return *std::move(pipeline);
  }

  // Blocks for so many tokens, wherever they are free.
  Sequence Begin(int64_t tokens) {
    Sequence sequence;
    while (static_cast<int64_t>(sequence.blocks.size()) * limits_.block_size_tokens < tokens) {
      std::swap(free_[random_.Below(std::ssize(free_))], free_.back());
      sequence.blocks.push_back(free_.back());
      free_.pop_back();
    }
    return sequence;
  }
  void End(size_t i) {
    free_.insert(free_.end(), sequences_[i].blocks.begin(), sequences_[i].blocks.end());
    sequences_.erase(sequences_.begin() + static_cast<int64_t>(i));
  }

  // A step of so many tokens of each sequence, both ways.
  void Step(const std::vector<int64_t>& tokens) {
    std::vector<SliceView> slices;
    std::vector<int32_t> ids, rows;
    for (size_t i = 0; i < tokens.size(); ++i) {
      slices.push_back({sequences_[i].length, tokens[i], sequences_[i].blocks});
      for (int64_t t = 0; t < tokens[i]; ++t) {
        ids.push_back(static_cast<int32_t>(random_.Below(checkpoint_->config().vocab_size)));
      }
      rows.push_back(static_cast<int32_t>(ids.size()) - 1);
      sequences_[i].length += tokens[i];
    }
    LC_ASSERT_OK_AND_ASSIGN(const auto replayed, replayed_->Step(slices, ids, rows));
    LC_ASSERT_OK_AND_ASSIGN(const auto launched, launched_->Step(slices, ids, rows));
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_TRUE(SameBits(replayed[i], launched[i]))
          << random_.seed() << ", sequence " << i << " of " << rows.size() << " at "
          << sequences_[i].length;
    }
  }

  RandomInput random_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  StageLimits limits_;
  std::unique_ptr<StagePipeline> replayed_, launched_;
  std::vector<int32_t> free_;
  std::vector<Sequence> sequences_;
};

// One sequence grows past the ends of attention's chunks while others come and go beside it, and
// prompts are read in between.
TEST_P(DecodeGraphsTest, GiveTheSameBitsAsLaunches) {
  sequences_.push_back(Begin(kMaxContext));
  for (const int64_t boundary : {128, 256, 384, 512}) {
    std::vector<int64_t> tokens(sequences_.size(), 1);
    tokens[0] = boundary - 4 - sequences_[0].length;
    ASSERT_NO_FATAL_FAILURE(Step(tokens));
    while (sequences_[0].length < boundary + 4) {
      tokens.assign(sequences_.size(), 1);
      if (sequences_.size() < kMaxSequences && random_.Below(3) == 0) {
        sequences_.push_back(Begin(100));
        tokens.push_back(1 + random_.Below(20));
      }
      ASSERT_NO_FATAL_FAILURE(Step(tokens));
      if (sequences_.size() > 1 && random_.Below(5) == 0) {
        End(1 + static_cast<size_t>(random_.Below(std::ssize(sequences_) - 1)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DecodeGraphsTest, ::testing::Values("mixtral", "qwen2-awq"),
                         GoldenTestName);

}  // namespace
}  // namespace layercake
