#include <map>
#include <utility>
#include <vector>

#include "common/rpc/status.h"
#include "tests/coordinator/service/generation_testing.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using GenerationLoopTest = GenerationTest;

TEST_F(GenerationLoopTest, RefusesWhileNothingIsServed) {
  const absl::Status status = loop_.Submit(Request(3, 1), model_, &sink_).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ErrorReason(status), "NO_MODEL");
  EXPECT_THAT(loop_.Live(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GenerationLoopTest, GeneratesUntilMaxTokensAndReportsUsage) {
  Serve();
  ASSERT_OK(loop_.Submit(Request(5, 3), model_, &sink_));
  EXPECT_EQ(pipeline_.steps.front().epoch(), 7u);
  RunAll();
  EXPECT_THAT(sink_.tokens[0], ElementsAre(100, 101, 102));
  ASSERT_TRUE(sink_.ended);
  EXPECT_OK(sink_.status);
  const v1::Finish& finish = sink_.finishes[0];
  EXPECT_EQ(finish.reason(), v1::STOP_REASON_MAX_TOKENS);
  EXPECT_EQ(finish.usage().prompt_tokens(), 5);
  EXPECT_EQ(finish.usage().completion_tokens(), 3);
  EXPECT_EQ(finish.seed(), 42u);
  EXPECT_EQ(finish.timings().total().nanos(), 30'000'000);
  EXPECT_EQ(finish.timings().time_to_first_token().nanos(), 10'000'000);
  EXPECT_DOUBLE_EQ(finish.timings().completion_tokens_per_second(), 100);
  EXPECT_TRUE(loop_.IsIdle());
  EXPECT_EQ(Status().free_blocks(), Status().total_blocks());
}

TEST_F(GenerationLoopTest, StopIdEndsItAndWinsOverMaxTokens) {
  Serve();
  GenerationRequest request = Request(5, 2);
  request.stop_ids = {101};
  ASSERT_OK(loop_.Submit(request, model_, &sink_));
  RunAll();
  EXPECT_THAT(sink_.tokens[0], ElementsAre(100, 101));
  EXPECT_EQ(sink_.finishes[0].reason(), v1::STOP_REASON_STOP_ID);
  EXPECT_EQ(sink_.finishes[0].stop_id(), 101);
}

TEST_F(GenerationLoopTest, CancelFreesBlocksAtOnceAndSilencesTheSink) {
  Serve();
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t id, loop_.Submit(Request(12, 40), model_, &sink_));
  ASSERT_OK(AnswerStep());
  ASSERT_LT(Status().free_blocks(), Status().total_blocks());
  const auto before = sink_.tokens;
  loop_.Cancel(id);
  loop_.Cancel(id);
  EXPECT_EQ(Status().free_blocks(), Status().total_blocks());
  RunAll();
  EXPECT_EQ(sink_.tokens, before);
  EXPECT_FALSE(sink_.ended);
  EXPECT_TRUE(loop_.IsIdle());
}

TEST_F(GenerationLoopTest, CompletionsOfOnePromptHaveTheirOwnSeedsAndShareTheQueue) {
  Serve();
  GenerationRequest request = Request(8, 2);
  request.n = 3;
  ASSERT_OK(loop_.Submit(request, model_, &sink_));
  std::map<uint64_t, int> seeds;
  while (!pipeline_.steps.empty()) {
    for (const v1::Slice& slice : pipeline_.steps.front().slices()) {
      if (slice.has_sampling()) ++seeds[slice.sampling().seed()];
    }
    ASSERT_OK(AnswerStep());
  }
  EXPECT_THAT(seeds, ElementsAre(std::pair(42u, 2), std::pair(43u, 2), std::pair(44u, 2)));
  EXPECT_EQ(sink_.finishes.size(), 3u);
  EXPECT_EQ(sink_.finishes[2].seed(), 44u);
  EXPECT_TRUE(sink_.ended);
}

TEST_F(GenerationLoopTest, EchoWithLogprobsCoversEveryPromptTokenOnce) {
  Serve();
  GenerationRequest request = Request(21, 2);  // more than one step's tokens
  request.echo = true;
  request.logprobs = true;
  ASSERT_OK(loop_.Submit(request, model_, &sink_));
  RunAll();
  ASSERT_EQ(sink_.tokens[0].size(), 23u);
  EXPECT_EQ(sink_.tokens[0], sink_.logprob_ids[0]);
  EXPECT_EQ(sink_.tokens[0][20], 30);
  EXPECT_EQ(sink_.tokens[0][21], 100);
}

TEST_F(GenerationLoopTest, PenaltiesTravelWithCountsOfWhatWasGenerated) {
  Serve();
  GenerationRequest request = Request(2, 3);
  request.sampling.set_frequency_penalty(0.5);
  ASSERT_OK(loop_.Submit(request, model_, &sink_));
  ASSERT_OK(AnswerStep());
  next_token_ = 100;
  ASSERT_OK(AnswerStep());
  const v1::Sampling& sampling = pipeline_.steps.front().slices(0).sampling();
  EXPECT_THAT(sampling.history_ids(), ElementsAre(10, 11, 100));
  EXPECT_THAT(sampling.history_counts(), ElementsAre(0, 0, 2));
}

TEST_F(GenerationLoopTest, AFullQueueIsRefusedWithRetryAndLeavesNothingBehind) {
  Serve();
  std::vector<RecordingSink> sinks(16);
  size_t taken = 0;
  absl::Status refused;
  while (taken < sinks.size() && refused.ok()) {
    refused = loop_.Submit(Request(30, 30), model_, &sinks[taken]).status();
    if (refused.ok()) ++taken;
  }
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ErrorReason(refused), "QUEUE_FULL");
  RunAll();
  for (size_t i = 0; i < taken; ++i) EXPECT_TRUE(sinks[i].ended) << i;
  EXPECT_TRUE(loop_.IsIdle());
}

TEST_F(GenerationLoopTest, TheEndOfAnEpochEndsItsRequestsWithTheReason) {
  Serve();
  ASSERT_OK(loop_.Submit(Request(5, 30), model_, &sink_));
  ASSERT_OK(AnswerStep());
  loop_.OnStopped(7, absl::UnavailableError("worker p106:0 was lost: its connection broke"));
  ASSERT_TRUE(sink_.ended);
  EXPECT_THAT(sink_.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("p106:0")));
  EXPECT_OK(loop_.OnResult(7, v1::StepResult()));
}

TEST_F(GenerationLoopTest, AFailedSequenceEndsItsRequestAloneAndSaysWhich) {
  plan_.mutable_stages(0)->set_worker("m40");
  Serve();
  GenerationRequest pair = Request(5, 30);
  pair.n = 2;
  RecordingSink other;
  ASSERT_OK(loop_.Submit(pair, model_, &sink_));
  ASSERT_OK(loop_.Submit(Request(6, 3), model_, &other));
  while (!sink_.ended) {
    const v1::Step step = pipeline_.steps.front();
    pipeline_.steps.pop_front();
    v1::StepResult result = AnswerTo(step, next_token_);
    for (int i = 0; i < step.slices_size(); ++i) {
      // The second completion, once it decodes.
      if (step.slices(i).sampling().seed() != 43 || step.slices(i).position() < 6) continue;
      result.mutable_slices(i)->set_error("the model's logit of token 7 is nan");
    }
    ASSERT_OK(loop_.OnResult(step.epoch(), result));
  }
  EXPECT_THAT(sink_.status,
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("completion 1 failed at token 6: worker m40: the model's logit")));
  EXPECT_EQ(ErrorReason(sink_.status), "SEQUENCE_FAILED");
  RunAll();
  EXPECT_EQ(other.tokens[0].size(), 3u);
  EXPECT_OK(other.status);
  EXPECT_EQ(Status().free_blocks(), Status().total_blocks());
  EXPECT_TRUE(loop_.IsIdle());
}

TEST_F(GenerationLoopTest, ANonsenseAnswerIsAnError) {
  Serve();
  ASSERT_OK(loop_.Submit(Request(5, 30), model_, &sink_));
  v1::StepResult result;
  result.set_step_id(99);
  EXPECT_THAT(loop_.OnResult(7, result), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(GenerationLoopTest, DrainingRefusesNewRequestsAndLetsOldOnesEnd) {
  Serve();
  std::vector<bool> serving;
  loop_.OnServingChange([&](bool now) { serving.push_back(now); });
  ASSERT_OK(loop_.Submit(Request(5, 2), model_, &sink_));
  loop_.SetDraining(true);
  RecordingSink late;
  const absl::Status refused = loop_.Submit(Request(5, 2), model_, &late).status();
  EXPECT_EQ(ErrorReason(refused), "DRAINING");
  EXPECT_EQ(loop_.WaitIdle(absl::ZeroDuration(), [] { return false; }), 1);
  RunAll();
  EXPECT_EQ(loop_.WaitIdle(absl::InfiniteDuration(), [] { return false; }), 0);
  loop_.SetDraining(false);
  EXPECT_THAT(serving, ElementsAre(true, false, true));
  EXPECT_OK(loop_.Submit(Request(5, 2), model_, &late));
}

}  // namespace
}  // namespace layercake
