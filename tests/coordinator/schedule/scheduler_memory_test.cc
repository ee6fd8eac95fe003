// What the scheduler does with KV blocks: sharing, growing, preempting.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "coordinator/schedule/scheduler.h"
#include "tests/coordinator/schedule/scheduler_testing.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<BlockId> Blocks(const Scheduler& scheduler, SequenceId id, int count) {
  const auto& blocks = scheduler.Find(id)->blocks;
  return {blocks.begin(), blocks.begin() + count};
}

TEST(SchedulerMemoryTest, DecodingTakesABlockOnlyWhenTheLastIsFull) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(3), .max_tokens = 9}));
  CompleteNext(scheduler);
  EXPECT_EQ(scheduler.num_free_blocks(), 63);
  CompleteNext(scheduler);  // position 3
  EXPECT_EQ(scheduler.num_free_blocks(), 63);
  CompleteNext(scheduler);  // position 4
  EXPECT_EQ(scheduler.num_free_blocks(), 62);
}

TEST(SchedulerMemoryTest, SecondSequenceReusesFullBlocksOfTheFirst) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(6), .max_tokens = 9}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(7), .max_tokens = 9}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("1@6+1!", "2@4+3!"));
  EXPECT_EQ(scheduler.Find(2)->num_cached_tokens, 4);
  EXPECT_EQ(scheduler.Find(1)->num_cached_tokens, 0);
  EXPECT_EQ(Blocks(scheduler, 2, 1), Blocks(scheduler, 1, 1));
  EXPECT_NE(Blocks(scheduler, 2, 2), Blocks(scheduler, 1, 2));
}

TEST(SchedulerMemoryTest, FinishedSequencesBlocksStayUsable) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(8), .max_tokens = 1}));
  CompleteNext(scheduler);
  scheduler.Finish(1);
  EXPECT_EQ(scheduler.num_free_blocks(), 64);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(12), .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("2@8+4!"));
}

TEST(SchedulerMemoryTest, WhatAFailedSequenceComputedIsNotShared) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(8), .max_tokens = 1}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(8, 100), .max_tokens = 9}));
  CompleteNext(scheduler);
  scheduler.Finish(1);
  const auto step = scheduler.Next();
  EXPECT_THAT(Describe(step), ElementsAre("2@0+8!"));
  LC_ASSERT_OK_AND_ASSIGN(const auto outcomes, scheduler.Complete(step->id, Tokens{kFailedToken}));
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].failed);
  EXPECT_EQ(outcomes[0].token, std::nullopt);
  EXPECT_EQ(scheduler.Find(2)->num_generated_tokens(), 0);
  scheduler.Finish(2);
  EXPECT_EQ(scheduler.num_free_blocks(), 64);
  ASSERT_OK(scheduler.Add({.id = 3, .prompt_ids = Prompt(8, 100), .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("3@0+8!"));
}

TEST(SchedulerMemoryTest, GeneratedBlocksAreReusedByTheNextTurn) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(3), .max_tokens = 6}));
  while (scheduler.num_running() + scheduler.num_waiting() > 0) CompleteNext(scheduler);
  Tokens next_turn = scheduler.Find(1)->history;
  ASSERT_EQ(next_turn.size(), 9u);
  scheduler.Finish(1);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = next_turn, .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("2@8+1!"));
}

TEST(SchedulerMemoryTest, LastTokenOfACachedPromptIsStillComputed) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(8), .max_tokens = 1}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(8), .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("2@4+4!"));
}

TEST(SchedulerMemoryTest, SiblingsWaitForTheStepAfterTheirSharedPrompt) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 3;
  Scheduler scheduler(options);
  for (SequenceId id = 1; id <= 3; ++id) {
    ASSERT_OK(scheduler.Add({.id = id, .prompt_ids = Prompt(13), .max_tokens = 9}));
  }
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@0+8"));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@8+5!"));
  // The blocks are being computed, but by earlier steps, and stages keep the order.
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@12+1!", "3@12+1!"));
  EXPECT_EQ(scheduler.Find(2)->num_cached_tokens, 12);
  EXPECT_EQ(scheduler.Find(3)->num_cached_tokens, 12);
  EXPECT_EQ(scheduler.num_free_blocks(), 64 - 3 - 3);
}

TEST(SchedulerMemoryTest, PromptWhoseLogitsAreWantedIsComputedInFull) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(6), .max_tokens = 1}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add(
      {.id = 2, .prompt_ids = Prompt(6), .max_tokens = 1, .needs_prompt_logits = true}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("2@0+6!"));
  EXPECT_EQ(scheduler.Find(2)->num_cached_tokens, 0);
}

TEST(SchedulerMemoryTest, NothingIsSharedWithoutPrefixCaching) {
  SchedulerOptions options = SmallOptions();
  options.prefix_caching = false;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(6), .max_tokens = 1}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(6), .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("2@0+6!"));
}

TEST(SchedulerMemoryTest, CachedBlocksAreReclaimedOldestFirstAndFromTheEndOfAPrefix) {
  SchedulerOptions options = SmallOptions();
  options.num_blocks = 4;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(8), .max_tokens = 1}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(8, 100), .max_tokens = 1}));
  CompleteNext(scheduler);
  // Three of the four blocks are wanted: the first sequence's go, and the second's last.
  ASSERT_OK(scheduler.Add({.id = 3, .prompt_ids = Prompt(8, 200), .max_tokens = 2}));
  CompleteNext(scheduler);
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 4, .prompt_ids = Prompt(8, 100), .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("4@4+4!"));
}

TEST(SchedulerMemoryTest, AdmissionLeavesRunningSequencesABlockToGrow) {
  SchedulerOptions options = SmallOptions();
  options.num_blocks = 4;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(4), .max_tokens = 3}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(8, 50), .max_tokens = 1}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("1@4+1!"));
  EXPECT_EQ(scheduler.num_free_blocks(), 2) << "as many as 2 needs";
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("1@5+1!"));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("2@0+8!"));
}

// Two sequences of two blocks each in a pool of four, both about to need a third.
class PreemptionTest : public testing::Test {
 protected:
  PreemptionTest() : scheduler_(Options()) {
    EXPECT_OK(scheduler_.Add({.id = 1, .prompt_ids = Prompt(7), .max_tokens = 6}));
    CompleteNext(scheduler_);
    EXPECT_OK(scheduler_.Add({.id = 2, .prompt_ids = Prompt(3, 50), .max_tokens = 9}));
    EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("1@7+1!", "2@0+3!"));
  }
  static SchedulerOptions Options() {
    SchedulerOptions options = SmallOptions();
    options.num_blocks = 4;
    return options;
  }
  Scheduler scheduler_;
};

TEST_F(PreemptionTest, YoungestGivesWayAndIsReplayedWithItsHistory) {
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("1@8+1!", "2@3+1!"));
  EXPECT_EQ(scheduler_.num_free_blocks(), 0);
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("1@9+1!")) << "no block for position 4 of 2";
  EXPECT_EQ(scheduler_.num_preemptions(), 1);
  EXPECT_EQ(scheduler_.num_waiting(), 1);
  EXPECT_EQ(scheduler_.num_free_blocks(), 1);
  EXPECT_THAT(scheduler_.Find(2)->history, ElementsAre(50, 51, 52, 1000, 1000));
  CompleteNext(scheduler_);
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("1@11+1!"));
  scheduler_.Finish(1);
  // Its own full block is still cached.
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("2@4+1!"));
  EXPECT_EQ(scheduler_.Find(2)->num_cached_tokens, 0) << "usage speaks of the prompt, once";
}

TEST_F(PreemptionTest, PreemptedSequenceGoesBeforeThoseThatCameLater) {
  ASSERT_OK(scheduler_.Add({.id = 3, .prompt_ids = Prompt(4, 90), .max_tokens = 2}));
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("1@8+1!", "2@3+1!"));
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("1@9+1!"));
  EXPECT_EQ(scheduler_.num_preemptions(), 1);
  scheduler_.Finish(1);
  EXPECT_THAT(CompleteNext(scheduler_), ElementsAre("2@4+1!", "3@0+4!"));
}

TEST(SchedulerMemoryTest, LateResultOfAPreemptedSequenceIsIgnoredAndComputedAgain) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 2;
  options.num_blocks = 4;
  options.max_step_tokens = 64;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(7), .max_tokens = 6}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@0+7!"));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(4, 20), .max_tokens = 6}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@0+4!"));
  ASSERT_OK(scheduler.Complete(1, Tokens({10})));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@7+1!"));
  ASSERT_OK(scheduler.Complete(2, Tokens({60})));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@4+1!"));
  ASSERT_OK(scheduler.Complete(3, Tokens({11})));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@8+1!")) << "in a block of 2";
  EXPECT_EQ(scheduler.num_preemptions(), 1);

  LC_ASSERT_OK_AND_ASSIGN(const auto outcomes, scheduler.Complete(4, Tokens({61})));
  EXPECT_THAT(outcomes, IsEmpty());
  EXPECT_THAT(scheduler.Find(2)->history, ElementsAre(20, 21, 22, 23, 60));
  scheduler.Finish(1);
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@4+1!"));
}

}  // namespace
}  // namespace layercake
