#include "coordinator/schedule/dispatch.h"

#include "tests/coordinator/schedule/scheduler_testing.h"

namespace layercake {
namespace {

class DispatchTest : public ::testing::Test {
 protected:
  size_t Choose(const Tokens& prompt, double first_seconds = 0, double second_seconds = 0) {
    const DispatchTarget targets[] = {{&first_, first_seconds}, {&second_, second_seconds}};
    return ChooseReplica(targets, prompt);
  }

  static void Add(Scheduler& scheduler, SequenceId id, const Tokens& prompt) {
    ASSERT_TRUE(scheduler.Add({.id = id, .prompt_ids = prompt, .max_tokens = 4}).ok());
  }

  Scheduler first_{SmallOptions()};
  Scheduler second_{SmallOptions()};
};

TEST_F(DispatchTest, OfEqualsTheFirst) { EXPECT_EQ(Choose(Prompt(8)), 0u); }

TEST_F(DispatchTest, BlocksInUseAndBlocksWaitedForBothCount) {
  Add(first_, 1, Prompt(8));
  EXPECT_EQ(Choose(Prompt(4, 500)), 1u);
  CompleteNext(first_);
  EXPECT_EQ(Choose(Prompt(4, 500)), 1u);
  Add(second_, 1, Prompt(12));
  EXPECT_EQ(Choose(Prompt(4, 500)), 0u);
}

TEST_F(DispatchTest, APromptFollowsItsPrefixAmongEquals) {
  Add(second_, 1, Prompt(8));
  CompleteNext(second_);
  second_.Finish(1);
  EXPECT_EQ(Choose(Prompt(16)), 1u);
  EXPECT_EQ(Choose(Prompt(16, 500)), 0u);
}

TEST_F(DispatchTest, AWarmPrefixIsNotWorthALongerQueue) {
  Add(second_, 1, Prompt(8));
  CompleteNext(second_);
  Add(second_, 2, Prompt(20, 300));
  EXPECT_EQ(Choose(Prompt(16)), 0u);
}

TEST_F(DispatchTest, AFasterReplicaBearsMore) {
  Add(first_, 1, Prompt(8));
  EXPECT_EQ(Choose(Prompt(8, 500), 1, 3), 0u);
  Add(first_, 2, Prompt(16, 100));
  EXPECT_EQ(Choose(Prompt(8, 500), 1, 3), 1u);
}

TEST_F(DispatchTest, AQuickReplicaWithoutTheBlocksIsPassedOver) {
  SchedulerOptions options = SmallOptions();
  options.num_blocks = 8;
  first_.Reset(options);
  Add(first_, 1, Prompt(20));
  EXPECT_EQ(Choose(Prompt(12, 500), 1, 3), 0u);
  EXPECT_EQ(Choose(Prompt(16, 500), 1, 3), 1u);
}

TEST_F(DispatchTest, AReplicaThatRunsAsManyAsItMayIsPassedOver) {
  for (SequenceId id = 1; id < 4; ++id) Add(first_, id, Prompt(4));
  Add(second_, 1, Prompt(40));
  EXPECT_EQ(Choose(Prompt(4, 500)), 0u);
  Add(first_, 4, Prompt(4));
  EXPECT_EQ(Choose(Prompt(4, 500)), 1u);
}

TEST_F(DispatchTest, WhereAllMustWaitItCountsHowManyTimesOverTheyAreFull) {
  SchedulerOptions options = SmallOptions();
  options.num_blocks = 8;
  first_.Reset(options);
  options.num_blocks = 32;
  second_.Reset(options);
  for (const SequenceId id : {1, 2}) {
    Add(first_, id, Prompt(16));
    Add(second_, id, Prompt(60));
  }
  // 11 of 8 blocks, and 33 of 32.
  EXPECT_EQ(Choose(Prompt(12, 500)), 1u);
  EXPECT_EQ(Choose(Prompt(12, 500), 1, 1.5), 0u);
}

TEST_F(DispatchTest, AFullQueueIsLastChoice) {
  SchedulerOptions options = SmallOptions();
  options.max_waiting = 1;
  first_.Reset(options);
  second_.Reset(options);
  Add(first_, 1, Prompt(4));
  Add(second_, 1, Prompt(12));
  EXPECT_EQ(Choose(Prompt(4, 500)), 0u);
  CompleteNext(second_);
  EXPECT_EQ(Choose(Prompt(4, 500)), 1u);
}

}  // namespace
}  // namespace layercake
