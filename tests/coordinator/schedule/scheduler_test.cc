#include "coordinator/schedule/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/coordinator/schedule/scheduler_testing.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

TEST(SchedulerTest, IdleHasNoNextStep) {
  Scheduler scheduler(SmallOptions());
  EXPECT_EQ(scheduler.Next(), std::nullopt);
}

TEST(SchedulerTest, ShortPromptIsPrefilledInOneStepAndSampled) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 7, .prompt_ids = {1, 2, 3, 4, 5}, .max_tokens = 4}));
  const auto step = scheduler.Next();
  ASSERT_TRUE(step);
  EXPECT_EQ(step->id, 1u);
  ASSERT_EQ(step->slices.size(), 1u);
  EXPECT_THAT(Describe(*step), ElementsAre("7@0+5!"));
  EXPECT_THAT(step->slices[0].token_ids, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(step->slices[0].block_ids.size(), 2u);  // of 4 tokens
  EXPECT_EQ(scheduler.num_running(), 1);
}

TEST(SchedulerTest, CompletedTokenIsAppendedAndDecodedNext) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 7, .prompt_ids = {1, 2, 3}, .max_tokens = 4}));
  ASSERT_TRUE(scheduler.Next());
  EXPECT_EQ(scheduler.Next(), std::nullopt) << "its sample is in flight";
  LC_ASSERT_OK_AND_ASSIGN(const auto outcomes, scheduler.Complete(1, Tokens({42})));
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].sequence, 7u);
  EXPECT_EQ(outcomes[0].slice, 0);
  EXPECT_EQ(outcomes[0].position, 0);
  EXPECT_EQ(outcomes[0].num_tokens, 3);
  EXPECT_THAT(outcomes[0].token, Optional(42));
  EXPECT_THAT(scheduler.Find(7)->history, ElementsAre(1, 2, 3, 42));

  const auto step = scheduler.Next();
  ASSERT_TRUE(step);
  EXPECT_THAT(Describe(*step), ElementsAre("7@3+1!"));
  EXPECT_THAT(step->slices[0].token_ids, ElementsAre(42));
}

TEST(SchedulerTest, ChunksOfALongPromptArePipelined) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 2;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(60), .max_tokens = 1}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@0+8"));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@8+8"));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@16+8"));
  EXPECT_EQ(scheduler.Next(), std::nullopt) << "num_stages + 1 steps are in flight";
  LC_ASSERT_OK_AND_ASSIGN(const auto outcomes, scheduler.Complete(1, Tokens({0})));
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].token, std::nullopt);
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@24+8"));
}

TEST(SchedulerTest, PromptsAloneAreSpreadOverTheIdleStages) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 2;
  options.max_step_tokens = 32;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(40), .max_tokens = 1}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(4, 90), .max_tokens = 1}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@0+22"));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@22+18!", "2@0+4!"));
}

TEST(SchedulerTest, PromptBesideDecodingIsSpreadOverTwoRounds) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 2;
  options.max_step_tokens = 32;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 9}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(40), .max_tokens = 1}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@1+1!", "2@0+10"));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@10+8"));
}

TEST(SchedulerTest, PiecesOfPromptsAreNotThinnerThanAnEighthOfAStep) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 4;
  options.max_step_tokens = 32;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(10), .max_tokens = 1}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@0+4"));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@4+6!")) << "no crumbs";
}

TEST(SchedulerTest, DecodingGoesBeforePromptsAndLeavesThemTheRestOfTheBudget) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = {2}, .max_tokens = 9}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 3, .prompt_ids = Prompt(20), .max_tokens = 9}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("1@1+1!", "2@1+1!", "3@0+6"));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("1@2+1!", "2@2+1!", "3@6+6"));
}

TEST(SchedulerTest, PromptsFillAStepInOrderOfArrival) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 9, .prompt_ids = Prompt(3), .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 4, .prompt_ids = Prompt(9, 100), .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 6, .prompt_ids = Prompt(2, 200), .max_tokens = 9}));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("9@0+3!", "4@0+5"));
  EXPECT_THAT(CompleteNext(scheduler), ElementsAre("9@3+1!", "4@5+4!", "6@0+2!"));
}

TEST(SchedulerTest, DecodingIsSplitInEqualGroupsOverTheStages) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 2;
  Scheduler scheduler(options);
  for (SequenceId id = 1; id <= 5; ++id) {
    ASSERT_OK(scheduler.Add({.id = id, .prompt_ids = {static_cast<int>(id)}, .max_tokens = 9}));
  }
  CompleteNext(scheduler);  // four of them, the most of one step
  CompleteNext(scheduler);
  const auto a = scheduler.Next();
  const auto b = scheduler.Next();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->slices.size(), 3u);
  EXPECT_EQ(b->slices.size(), 2u);
  EXPECT_EQ(scheduler.Next(), std::nullopt);
}

TEST(SchedulerTest, NoMoreThanABatchPerStageRuns) {
  SchedulerOptions options = SmallOptions();
  options.num_stages = 2;
  Scheduler scheduler(options);
  FullPipeline pipeline(scheduler);
  for (SequenceId id = 1; id <= 9; ++id) {
    ASSERT_OK(scheduler.Add({.id = id, .prompt_ids = Tokens({1}), .max_tokens = 40}));
  }
  for (int i = 0; i < 9; ++i) pipeline.Turn();
  EXPECT_EQ(scheduler.num_running(), 8);
  EXPECT_EQ(scheduler.num_waiting(), 1);
  ASSERT_TRUE(scheduler.Finish(3));
  for (int i = 0; i < 3; ++i) pipeline.Turn();
  EXPECT_EQ(scheduler.num_running(), 8);
  EXPECT_TRUE(scheduler.Find(9)->started);
}

TEST(SchedulerTest, NothingButDecodingSharesThePipelineWithItBeyondTheStages) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 9}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(20), .max_tokens = 9}));
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("1@1+1!", "2@0+7"));
  EXPECT_EQ(scheduler.Next(), std::nullopt);
}

TEST(SchedulerTest, SequenceStopsAtMaxTokensAndFreesItsBlocks) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1, 2}, .max_tokens = 2}));
  CompleteNext(scheduler);
  CompleteNext(scheduler);
  EXPECT_EQ(scheduler.Next(), std::nullopt);
  EXPECT_EQ(scheduler.Find(1)->num_generated_tokens(), 2);
  EXPECT_EQ(scheduler.num_running() + scheduler.num_waiting(), 0);
  EXPECT_EQ(scheduler.num_free_blocks(), scheduler.num_blocks());
  EXPECT_TRUE(scheduler.Finish(1));
  EXPECT_EQ(scheduler.Find(1), nullptr);
}

TEST(SchedulerTest, FinishFreesBlocksAtOnceAndLateResultsAreIgnored) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(6), .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = Prompt(2, 50), .max_tokens = 9}));
  ASSERT_TRUE(scheduler.Next());
  EXPECT_TRUE(scheduler.Finish(1));
  EXPECT_EQ(scheduler.num_free_blocks(), scheduler.num_blocks() - 1);
  EXPECT_FALSE(scheduler.Finish(1));
  // The same id again is another sequence: the old one's result is not for it.
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(2, 70), .max_tokens = 9}));
  LC_ASSERT_OK_AND_ASSIGN(const auto outcomes, scheduler.Complete(1, Tokens({8, 9})));
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].sequence, 2u);
  EXPECT_EQ(outcomes[0].slice, 1);
  EXPECT_THAT(outcomes[0].token, Optional(9));
  EXPECT_EQ(scheduler.Find(1)->num_generated_tokens(), 0);
}

TEST(SchedulerTest, FinishTakesAWaitingSequenceOutOfTheQueue) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = {2}, .max_tokens = 9}));
  EXPECT_TRUE(scheduler.Finish(1));
  EXPECT_EQ(scheduler.num_waiting(), 1);
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@0+1!"));
}

TEST(SchedulerTest, AddRefusesWhatCanNeverRunWithFigures) {
  SchedulerOptions options = SmallOptions();
  options.num_blocks = 3;
  Scheduler scheduler(options);
  EXPECT_THAT(scheduler.Add({.id = 1, .prompt_ids = {}, .max_tokens = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_tokens is 0")));
  EXPECT_THAT(scheduler.Add({.id = 1, .prompt_ids = Prompt(60), .max_tokens = 5}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("60 tokens and max_tokens of 5 exceed the context of 64")));
  EXPECT_THAT(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 2147483647}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2147483647")));
  EXPECT_THAT(scheduler.Add({.id = 1, .prompt_ids = Prompt(10), .max_tokens = 4}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("4 KV blocks of 4 tokens")));
  EXPECT_FALSE(scheduler.queue_full());
  EXPECT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(10), .max_tokens = 3}));
  EXPECT_THAT(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 1}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("sequence 1")));
}

TEST(SchedulerTest, AddRefusesWhenTheQueueIsFull) {
  SchedulerOptions options = SmallOptions();
  options.max_waiting = 2;
  Scheduler scheduler(options);
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 1}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = {1}, .max_tokens = 1}));
  EXPECT_THAT(scheduler.Add({.id = 3, .prompt_ids = {1}, .max_tokens = 1}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("2 sequences are waiting")));
  EXPECT_TRUE(scheduler.queue_full());
  EXPECT_EQ(scheduler.Find(3), nullptr);
  ASSERT_TRUE(scheduler.Next());
  EXPECT_OK(scheduler.Add({.id = 3, .prompt_ids = {1}, .max_tokens = 1}));
}

TEST(SchedulerTest, CompleteRefusesOtherStepsAndOtherCounts) {
  Scheduler scheduler(SmallOptions());
  EXPECT_THAT(scheduler.Complete(1, {}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("none is in flight")));
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1}, .max_tokens = 2}));
  ASSERT_TRUE(scheduler.Next());
  EXPECT_THAT(scheduler.Complete(2, Tokens({5})),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("step 2 completed before step 1")));
  EXPECT_THAT(scheduler.Complete(1, {}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("1 slices completed with 0")));
  EXPECT_EQ(scheduler.Find(1)->num_generated_tokens(), 0);
  EXPECT_OK(scheduler.Complete(1, Tokens({5})));
}

TEST(SchedulerTest, ResetReplaysHistoriesInOrderOfArrival) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = {1, 2}, .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = {3}, .max_tokens = 9}));
  CompleteNext(scheduler);
  ASSERT_OK(scheduler.Add({.id = 3, .prompt_ids = {4}, .max_tokens = 9}));
  ASSERT_TRUE(scheduler.Next());
  SchedulerOptions options = SmallOptions();
  options.num_blocks = 7;
  EXPECT_THAT(scheduler.Reset(options), IsEmpty());
  EXPECT_EQ(scheduler.num_steps_in_flight(), 0);
  EXPECT_EQ(scheduler.num_free_blocks(), 7);
  EXPECT_EQ(scheduler.num_waiting(), 3);
  const auto step = scheduler.Next();
  ASSERT_TRUE(step);
  EXPECT_EQ(step->id, 1u);
  EXPECT_THAT(Describe(*step), ElementsAre("1@0+3!", "2@0+2!", "3@0+1!"));
}

TEST(SchedulerTest, ResetDropsWhatCannotFitAnyMore) {
  Scheduler scheduler(SmallOptions());
  ASSERT_OK(scheduler.Add({.id = 1, .prompt_ids = Prompt(8), .max_tokens = 9}));
  ASSERT_OK(scheduler.Add({.id = 2, .prompt_ids = {1}, .max_tokens = 9}));
  ASSERT_TRUE(scheduler.Next());
  SchedulerOptions options = SmallOptions();
  options.max_context_tokens = 16;
  EXPECT_THAT(scheduler.Reset(options), ElementsAre(1u));
  EXPECT_EQ(scheduler.Find(1), nullptr);
  EXPECT_THAT(Describe(scheduler.Next()), ElementsAre("2@0+1!"));
}

}  // namespace
}  // namespace layercake
