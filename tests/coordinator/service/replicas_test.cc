// Several replicas of the pipeline behind one generation loop.

#include <vector>

#include "common/rpc/status.h"
#include "tests/coordinator/service/generation_testing.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ReplicasTest = GenerationTest;

TEST_F(ReplicasTest, RequestsAreDividedAndStepsCarryTheirReplicasEpoch) {
  ServeBoth();
  std::vector<RecordingSink> sinks(4);
  for (RecordingSink& sink : sinks) ASSERT_OK(loop_.Submit(Request(5, 3), model_, &sink));
  EXPECT_EQ(pipeline_.steps.front().epoch(), 7u);
  EXPECT_EQ(other_.steps.front().epoch(), 8u);
  RunAll();
  for (const RecordingSink& sink : sinks) {
    EXPECT_EQ(sink.tokens.at(0).size(), 3u);
    EXPECT_OK(sink.status);
  }
  EXPECT_TRUE(loop_.IsIdle());
}

TEST_F(ReplicasTest, CompletionsOfOneRequestStayTogether) {
  ServeBoth();
  GenerationRequest request = Request(8, 2);
  request.n = 4;
  ASSERT_OK(loop_.Submit(request, model_, &sink_));
  EXPECT_TRUE(other_.steps.empty());
  RunAll();
  EXPECT_EQ(sink_.finishes.size(), 4u);
}

TEST_F(ReplicasTest, APromptGoesWhereItsPrefixIs) {
  ServeBoth();
  RecordingSink first, second, again;
  GenerationRequest other = Request(12, 1);
  for (int32_t& id : other.prompt_ids) id += 50;
  ASSERT_OK(loop_.Submit(Request(12, 1), model_, &first));
  ASSERT_OK(loop_.Submit(other, model_, &second));
  RunAll();
  ASSERT_OK(loop_.Submit(other, model_, &again));
  EXPECT_TRUE(pipeline_.steps.empty());
  RunAll();
  EXPECT_EQ(again.finishes[0].usage().cached_tokens(), 8);
}

TEST_F(ReplicasTest, TheEndOfOneEndsItsRequestsAloneAndTheOthersGoOn) {
  ServeBoth();
  RecordingSink survivor;
  ASSERT_OK(loop_.Submit(Request(5, 30), model_, &sink_));
  ASSERT_OK(loop_.Submit(Request(5, 30), model_, &survivor));
  std::vector<bool> serving;
  loop_.OnServingChange([&](bool now) { serving.push_back(now); });
  ASSERT_OK(AnswerStep(pipeline_));
  loop_.OnStopped(7, absl::UnavailableError("worker p106:0 was lost"));
  EXPECT_THAT(sink_.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("p106:0")));
  EXPECT_EQ(ErrorReason(sink_.status), "EPOCH_ENDED");
  EXPECT_FALSE(survivor.ended);

  // What comes late from the dead one changes nothing; new requests go to the other.
  ASSERT_OK(AnswerStep(pipeline_));
  RecordingSink late;
  ASSERT_OK(loop_.Submit(Request(5, 2), model_, &late));
  EXPECT_TRUE(pipeline_.steps.empty());
  RunAll();
  EXPECT_EQ(survivor.tokens[0].size(), 30u);
  EXPECT_OK(survivor.status);
  EXPECT_EQ(late.tokens[0].size(), 2u);
  loop_.OnStopped(8, absl::UnavailableError("worker m40 was lost"));
  EXPECT_THAT(serving, ElementsAre(true, true, false));
}

TEST_F(ReplicasTest, DrainingWaitsForAllOfThem) {
  ServeBoth();
  RecordingSink other;
  ASSERT_OK(loop_.Submit(Request(5, 2), model_, &sink_));
  ASSERT_OK(loop_.Submit(Request(5, 2), model_, &other));
  loop_.SetDraining(true);
  EXPECT_EQ(loop_.WaitIdle(absl::ZeroDuration(), [] { return false; }), 2);
  while (!pipeline_.steps.empty()) ASSERT_OK(AnswerStep(pipeline_));
  EXPECT_EQ(loop_.WaitIdle(absl::ZeroDuration(), [] { return false; }), 1);
  RunAll();
  EXPECT_EQ(loop_.WaitIdle(absl::InfiniteDuration(), [] { return false; }), 0);
}

TEST_F(ReplicasTest, CancelFreesTheBlocksOfTheReplicaItRanOn) {
  ServeBoth();
  RecordingSink other;
  ASSERT_OK(loop_.Submit(Request(5, 40), model_, &sink_));
  LC_ASSERT_OK_AND_ASSIGN(const uint64_t id, loop_.Submit(Request(5, 40), model_, &other));
  loop_.Cancel(id);
  v1::ClusterStatus status;
  status.add_replicas()->set_epoch(7);
  status.add_replicas()->set_epoch(8);
  loop_.FillStatus(&status);
  EXPECT_EQ(status.replicas(0).running_sequences(), 1);
  EXPECT_EQ(status.replicas(1).running_sequences(), 0);
  EXPECT_LT(status.replicas(0).free_blocks(), 16);
  EXPECT_EQ(status.replicas(1).free_blocks(), 16);
  EXPECT_EQ(status.running_sequences(), 1);
  EXPECT_EQ(status.total_blocks(), 32);
}

TEST_F(ReplicasTest, EachHasTheBlocksOfItsOwnPlan) {
  Serve();
  plan_.mutable_stages(0)->set_num_blocks(24);
  loop_.OnReady(8, model_, plan_, other_);
  v1::ClusterStatus status;
  status.add_replicas()->set_epoch(7);
  status.add_replicas()->set_epoch(8);
  loop_.FillStatus(&status);
  EXPECT_EQ(status.replicas(0).total_blocks(), 16);
  EXPECT_EQ(status.replicas(1).total_blocks(), 24);
  EXPECT_EQ(status.total_blocks(), 40);
}

TEST_F(ReplicasTest, TheShortestContextOfAllIsPromised) {
  Serve();
  plan_.set_max_context_tokens(32);
  loop_.OnReady(8, model_, plan_, other_);
  LC_ASSERT_OK_AND_ASSIGN(const LiveModel live, loop_.Live());
  EXPECT_EQ(live.max_context_tokens, 32);
}

}  // namespace
}  // namespace layercake
