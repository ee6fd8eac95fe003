// How busy a schedule keeps the stages, by the clock of a simulated pipeline. A decode step takes a
// stage one unit of time, whatever its batch: that is reading the weights.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "coordinator/schedule/scheduler.h"
#include "tests/coordinator/schedule/timed_pipeline.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

SchedulerOptions PipelineOptions(int num_stages) {
  SchedulerOptions options;
  options.num_stages = num_stages;
  options.num_blocks = 20000;
  options.max_context_tokens = 10000;
  options.max_waiting = 10000;
  return options;
}

void AddSequence(Scheduler& scheduler, SequenceId id, int num_prompt_tokens, int max_tokens) {
  SequenceRequest request{.id = id, .max_tokens = max_tokens};
  for (int i = 0; i < num_prompt_tokens; ++i) {
    request.prompt_ids.push_back(static_cast<int>(id) * 1000 + i);
  }
  ASSERT_OK(scheduler.Add(std::move(request)));
}

struct DecodeCase {
  int num_stages;
  int sequences_per_stage;
  double min_busy_share;
};

class DecodePipelineTest : public testing::TestWithParam<DecodeCase> {};

INSTANTIATE_TEST_SUITE_P(Stages, DecodePipelineTest,
                         testing::Values(DecodeCase{1, 2, 0.95}, DecodeCase{2, 2, 0.95},
                                         DecodeCase{2, 9, 0.95}, DecodeCase{4, 2, 0.90},
                                         DecodeCase{4, 7, 0.90}));

// A hop is 2% of a stage's step: 150 us where a token takes the stage 7.5 ms.
TEST_P(DecodePipelineTest, EveryStageIsBusyAndEveryBatchIsFull) {
  const DecodeCase& c = GetParam();
  Scheduler scheduler(PipelineOptions(c.num_stages));
  TimedPipeline pipeline(std::vector<StageCost>(c.num_stages), 0.02);
  const int num_sequences = c.num_stages * c.sequences_per_stage;
  for (int id = 1; id <= num_sequences; ++id) AddSequence(scheduler, id, 1 + id % 30, 4000);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(pipeline.Turn(scheduler));
  pipeline.StartMeasuring();
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(pipeline.Turn(scheduler));
  for (int stage = 0; stage < c.num_stages; ++stage) {
    EXPECT_GE(pipeline.busy_share(stage), c.min_busy_share) << "stage " << stage;
  }
  // Busy with small batches would be easy: each step must carry its share of all sequences.
  EXPECT_GE(pipeline.tokens_per_time(), c.min_busy_share * c.sequences_per_stage);
}

// Sequences come and go: 200 prompt tokens and 100 generated on average, a prompt token costing a
// fiftieth of a step. Against what stages without a gap would do with full batches of 16.
TEST(PipelineTest, PromptsComingInLeaveTheStagesBusy) {
  for (const int num_stages : {1, 2, 4}) {
    SCOPED_TRACE(num_stages);
    Scheduler scheduler(PipelineOptions(num_stages));
    TimedPipeline pipeline(std::vector<StageCost>(num_stages, {1, 0.02}), 0.02, 0.05);
    std::mt19937 random(1);
    for (int id = 1; id <= 1500; ++id) {
      AddSequence(scheduler, id, 1 + random() % 400, 1 + random() % 200);
    }
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(pipeline.Turn(scheduler));
    pipeline.StartMeasuring();
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(pipeline.Turn(scheduler));
    const double limit = 100 / (100.0 / 16 + 300 * 0.02);
    EXPECT_GE(pipeline.tokens_per_time(), (num_stages == 4 ? 0.72 : 0.8) * limit);
  }
}

TEST(PipelineTest, RunningSequencesWaitForAPromptNoLongerThanABudgetPerStage) {
  for (const int num_stages : {1, 2, 4}) {
    SCOPED_TRACE(num_stages);
    Scheduler scheduler(PipelineOptions(num_stages));
    TimedPipeline pipeline(std::vector<StageCost>(num_stages, {1, 0.02}), 0);
    AddSequence(scheduler, 1, 1, 200);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(pipeline.Turn(scheduler));
    AddSequence(scheduler, 2, 9000, 1);
    double last = pipeline.now();
    int num_tokens = scheduler.Find(1)->num_tokens();
    const double step = 1 + 256 * 0.02;
    while (scheduler.Find(1) != nullptr) {
      ASSERT_TRUE(pipeline.Turn(scheduler));
      const Sequence* sequence = scheduler.Find(1);
      if (sequence == nullptr || sequence->num_tokens() == num_tokens) continue;
      num_tokens = sequence->num_tokens();
      EXPECT_LE(pipeline.now() - last, 2 * num_stages * step);
      last = pipeline.now();
    }
  }
}

}  // namespace
}  // namespace layercake
