#include "worker/engine/step.h"

#include <functional>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

class CheckStepTest : public ::testing::Test {
 protected:
  CheckStepTest() {
    limits_.stage = {.max_step_tokens = 8,
                     .max_batch_sequences = 2,
                     .max_context_tokens = 10,
                     .block_size_tokens = 4};
    limits_.num_blocks = 6;
    limits_.vocab_size = 100;
    step_.epoch = step_.step_id = 1;
    step_.slices.resize(2);
    step_.slices[0].view = {0, 5, first_blocks_};
    step_.slices[1].view = {9, 1, second_blocks_};
    step_.token_ids = std::span(ids_).first(6);
  }

  void ExpectBad(const char* words) {
    EXPECT_THAT(CheckStep(step_, limits_),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words)));
  }

  std::vector<int32_t> ids_ = {1, 2, 3, 4, 99, 0, 0, 0, 0};
  std::vector<int32_t> first_blocks_ = {4, 5};
  std::vector<int32_t> second_blocks_ = {0, 1, 2};
  std::vector<int32_t> other_;
  StepLimits limits_;
  StepRequest step_;
};

TEST_F(CheckStepTest, AGoodStepIsGood) { EXPECT_OK(CheckStep(step_, limits_)); }

TEST_F(CheckStepTest, AStepHasSlices) {
  step_.slices.clear();
  ExpectBad("0 slices; the stage is sized for 1 to 2");
  step_.slices.resize(3);
  ExpectBad("3 slices; the stage is sized for 1 to 2");
}

TEST_F(CheckStepTest, SlicesLieWithinTheContext) {
  step_.slices[1].view.num_tokens = 0;
  ExpectBad("slice 1 has 0 tokens");
  step_.slices[1].view.num_tokens = 2;
  ExpectBad("slice 1 has 2 tokens from position 9; the context is 10");
  step_.slices[1].view = {-1, 1, second_blocks_};
  ExpectBad("position -1");
  step_.slices[1].view = {INT64_MAX, INT64_MAX, second_blocks_};
  ExpectBad("slice 1 has");
}

TEST_F(CheckStepTest, BlocksCoverThePositionsAndNoMoreThanAContext) {
  step_.slices[0].view.block_ids = std::span(first_blocks_).first(1);
  ExpectBad("slice 0 has 1 blocks of 4 tokens for positions up to 4");
  step_.slices[0].view.block_ids = {};
  ExpectBad("slice 0 has 0 blocks");
  other_ = {0, 1, 2, 3};
  step_.slices[1].view.block_ids = other_;
  ExpectBad("slice 0 has 0 blocks");
  step_.slices[0].view.block_ids = first_blocks_;
  ExpectBad("slice 1 has 4 blocks");
}

TEST_F(CheckStepTest, BlockIdsAreThoseThereAre) {
  first_blocks_[1] = 6;
  ExpectBad("block id 6 is not in [0, 6)");
  first_blocks_[1] = -1;
  ExpectBad("block id -1");
}

TEST_F(CheckStepTest, NoBlockIsWrittenTwiceThoughItMayBeShared) {
  second_blocks_[0] = 4;
  EXPECT_OK(CheckStep(step_, limits_)) << "slice 1 only reads its first block";
  second_blocks_[2] = 5;
  ExpectBad("block 5 would be written twice");
}

TEST_F(CheckStepTest, TokenIdsAreThoseOfTheSlices) {
  ids_[2] = 100;
  ExpectBad("token id 100 is not in [0, 100)");
  ids_[2] = -1;
  ExpectBad("token id -1");
  step_.token_ids = std::span(ids_).first(5);
  ExpectBad("slices of 6 tokens and 5 token ids");
  limits_.stage.max_step_tokens = 5;
  step_.token_ids = std::span(ids_).first(6);
  ExpectBad("sized for 5");
}

TEST_F(CheckStepTest, KnownTokensAreNoMoreThanTheSliceHas) {
  other_ = {1, 2};
  step_.slices[1].known_next_ids = other_;
  ExpectBad("slice 1 of 1 tokens asks for 2 known tokens");
  other_ = {100};
  step_.slices[1].known_next_ids = other_;
  ExpectBad("known next id 100");
  step_.slices[1].known_next_ids = {};
  step_.slices[1].known_top_logprobs = 101;
  ExpectBad("101 rivals");
}

TEST_F(CheckStepTest, HistoryHasACountForEachId) {
  other_ = {1, 2};
  step_.slices[0].sampling.history_ids = other_;
  ExpectBad("2 history ids but 0 counts");
}

}  // namespace
}  // namespace layercake
