#include "worker/model/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/testing/stage_pipeline.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;
using Logits = std::vector<std::vector<float>>;

constexpr int64_t kBlocks = 64;

class DecoderTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string directory =
        std::string(LAYERCAKE_SOURCE_DIR) + "/tests/golden/models/" + GetParam();
    LC_ASSERT_OK_AND_ASSIGN(checkpoint_, Checkpoint::Open(directory));
    LC_ASSERT_OK_AND_ASSIGN(device_, Device::CreateCpu(2));
    limits_.max_step_tokens = 300;
    limits_.max_batch_sequences = 5;
    limits_.max_context_tokens = 300;
    seed_ = std::random_device{}();
    random_.seed(seed_);
  }

  std::unique_ptr<StagePipeline> Load(Device& device, const std::vector<int64_t>& cuts = {}) {
    auto pipeline = StagePipeline::Load(*checkpoint_, cuts, limits_, kBlocks, device);
    EXPECT_OK(pipeline);
    return *std::move(pipeline);
  }
  std::vector<int32_t> RandomIds(size_t count) {
    std::vector<int32_t> ids(count);
    for (int32_t& id : ids) {
      id = static_cast<int32_t>(random_() % checkpoint_->config().vocab_size);
    }
    return ids;
  }
  std::vector<int32_t> AllBlocks() {
    std::vector<int32_t> ids(kBlocks);
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), random_);
    return ids;
  }
  Logits Alone(StagePipeline& pipeline, const std::vector<int32_t>& ids, int64_t chunk) {
    auto logits = pipeline.Run(ids, 0, chunk, AllBlocks());
    EXPECT_OK(logits);
    return *std::move(logits);
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  StageLimits limits_;
  unsigned seed_ = 0;
  std::mt19937 random_;
};

TEST_P(DecoderTest, BitsDoNotDependOnChunks) {
  SCOPED_TRACE(seed_);
  const auto pipeline = Load(*device_);
  const auto ids = RandomIds(290);
  const Logits whole = Alone(*pipeline, ids, 290);
  for (const int64_t chunk : {1, 2, 13, 16, 64, 289}) {
    EXPECT_TRUE(Alone(*pipeline, ids, chunk) == whole) << chunk;
  }
}

TEST_P(DecoderTest, BitsDoNotDependOnInstructionSetThreadsOrBlockSize) {
  SCOPED_TRACE(seed_);
  const auto ids = RandomIds(100);
  const Logits expected = Alone(*Load(*device_), ids, 100);
  for (const CpuIsa isa : SupportedCpuIsas()) {
    for (const int threads : {1, 3}) {
      LC_ASSERT_OK_AND_ASSIGN(const auto device, Device::CreateCpu(threads, isa));
      limits_.block_size_tokens = threads == 1 ? 8 : 32;
      EXPECT_TRUE(Alone(*Load(*device), ids, 33) == expected) << CpuIsaName(isa);
    }
  }
}

// Sixteen sequences that begin at different steps, each with its own lengths of slices.
TEST_P(DecoderTest, BitsDoNotDependOnWhoElseIsInTheBatch) {
  SCOPED_TRACE(seed_);
  const auto together = Load(*device_, {1});
  const auto alone = Load(*device_);
  struct Sequence {
    std::vector<int32_t> ids, blocks;
    size_t start, done = 0;
    Logits logits;
  };
  std::vector<Sequence> sequences(16);
  const auto blocks = AllBlocks();
  for (size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].ids = RandomIds(1 + random_() % 64);
    sequences[i].blocks.assign(blocks.begin() + 4 * i, blocks.begin() + 4 * i + 4);
    sequences[i].start = random_() % 12;
  }
  for (size_t step = 0, left = sequences.size(); left > 0; ++step) {
    std::vector<SliceView> slices;
    std::vector<int32_t> ids;
    std::vector<std::pair<Sequence*, size_t>> who;
    for (Sequence& s : sequences) {
      if (step < s.start || s.done == s.ids.size()) continue;
      const size_t count = std::min(s.ids.size() - s.done, 1 + random_() % 18);
      slices.push_back({static_cast<int64_t>(s.done), static_cast<int64_t>(count), s.blocks});
      ids.insert(ids.end(), s.ids.begin() + s.done, s.ids.begin() + s.done + count);
      who.emplace_back(&s, count);
    }
    if (slices.empty()) continue;
    std::vector<int32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    LC_ASSERT_OK_AND_ASSIGN(const Logits logits, together->Step(slices, ids, rows));
    auto next = logits.begin();
    for (const auto& [s, count] : who) {
      s->logits.insert(s->logits.end(), next, next + count);
      next += count;
      s->done += count;
      left -= s->done == s->ids.size();
    }
  }
  for (const Sequence& s : sequences) {
    EXPECT_TRUE(s.logits == Alone(*alone, s.ids, 300));
  }
}

TEST_P(DecoderTest, TakesWhatTheCostsSayAndReportsProgress) {
  const ModelConfig& config = checkpoint_->config();
  for (const LayerRange& range :
       {LayerRange{0, config.num_layers, true, true}, LayerRange{0, 1, true, false},
        LayerRange{1, 1, false, true}, LayerRange{0, 0, true, false}}) {
    std::vector<int64_t> loaded;
    const int64_t total = StageWeightBytes(config, range);
    LC_ASSERT_OK_AND_ASSIGN(
        const auto decoder,
        Decoder::Load(*checkpoint_, range, limits_, *device_, [&](int64_t now, int64_t all) {
          EXPECT_EQ(all, total);
          loaded.push_back(now);
          return true;
        }));
    EXPECT_EQ(decoder->weight_bytes(), total);
    EXPECT_EQ(decoder->workspace_bytes(), WorkspaceBytes(config, range, limits_));
    EXPECT_TRUE(std::is_sorted(loaded.begin(), loaded.end()));
    EXPECT_EQ(loaded.back(), total);
  }
}

TEST_P(DecoderTest, LogitsOfARowLeaveHiddenAsItIs) {
  const auto pipeline = Load(*device_);
  const auto ids = RandomIds(10);
  const auto blocks = AllBlocks();
  LC_ASSERT_OK_AND_ASSIGN(const Logits all,
                          pipeline->Step({{0, 10, blocks}}, ids, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  LC_ASSERT_OK_AND_ASSIGN(const Logits some, pipeline->Step({{0, 10, blocks}}, ids, {7, 7, 2}));
  EXPECT_TRUE(some == Logits({all[7], all[7], all[2]}));
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderTest,
                         ::testing::Values("llama-bias", "llama-head-dim-10", "llama-mqa-tied",
                                           "qwen2-yarn-sharded"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class DecoderLoadTest : public DecoderTest {};

TEST_P(DecoderLoadTest, CanBeAbandoned) {
  int calls = 0;
  EXPECT_THAT(Decoder::Load(*checkpoint_, {0, 2, true, true}, limits_, *device_,
                            [&](int64_t, int64_t) { return ++calls < 3; }),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("abandoned")));
  EXPECT_EQ(calls, 3);
}

TEST_P(DecoderLoadTest, RefusesRangesAndLimitsThatMakeNoSense) {
  const auto load = [&](const LayerRange& range) {
    return Decoder::Load(*checkpoint_, range, limits_, *device_,
                         [](int64_t, int64_t) { return true; });
  };
  EXPECT_THAT(load({1, checkpoint_->config().num_layers, true, true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layers 1 to")));
  EXPECT_THAT(load({-1, 1, true, true}), StatusIs(absl::StatusCode::kInvalidArgument));
  limits_.max_step_tokens = 0;
  EXPECT_THAT(load({0, 1, true, true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 tokens")));
}

TEST_P(DecoderLoadTest, SaysThatTheDeviceIsTooSmall) {
  limits_.max_step_tokens = int64_t{1} << 45;
  EXPECT_THAT(Decoder::Load(*checkpoint_, {0, 1, true, true}, limits_, *device_,
                            [](int64_t, int64_t) { return true; }),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("workspace")));
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderLoadTest, ::testing::Values("llama-gqa"),
                         [](const auto&) { return "llama_gqa"; });

}  // namespace
}  // namespace layercake
