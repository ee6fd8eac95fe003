#include "coordinator/cluster/serving_controller.h"

#include <chrono>
#include <future>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/coordinator/cluster/serving_testing.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

using ServingControllerTest = ServingTest;

TEST_F(ServingControllerTest, LoadsEveryStageAndChainsThem) {
  Join("a", a_.address());
  Join("b", b_.address());
  std::vector<v1::LoadModelProgress> progress;
  ASSERT_OK(controller_.Load(
      Request(), 2, [&](const v1::LoadModelProgress& now) { progress.push_back(now); },
      [] { return false; }));
  ASSERT_FALSE(progress.empty());
  EXPECT_TRUE(progress.back().ready());
  EXPECT_EQ(progress.back().plan().stages_size(), 2);
  EXPECT_EQ(listener_.model_name(), "tiny");

  ASSERT_EQ(a_.loads().size(), 1u);
  ASSERT_EQ(b_.loads().size(), 1u);
  const bool a_first = a_.loads()[0].stage().has_embedding();
  const auto first = a_first ? a_.loads()[0] : b_.loads()[0];
  const auto last = a_first ? b_.loads()[0] : a_.loads()[0];
  EXPECT_EQ(first.next_address(), a_first ? b_.address() : a_.address());
  EXPECT_TRUE(last.next_address().empty());
  EXPECT_TRUE(last.stage().has_head());
  EXPECT_EQ(last.stage().first_layer(), first.stage().num_layers());
  EXPECT_EQ(first.epoch(), last.epoch());
  EXPECT_NE(first.fingerprint(), 0u);

  listener_.Submit(first.epoch(), 1);
  listener_.Submit(first.epoch(), 2);
  EXPECT_THAT(listener_.AwaitResults(first.epoch(), 2), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_READY);
  EXPECT_EQ(Status().workers(0).state(), v1::WORKER_STATE_READY);
}

TEST_F(ServingControllerTest, ThePlanInForceSaysOverWhichLinkEachStageHandsOn) {
  for (FakeStage* stage : {&a_, &b_}) stage->SetLink("nccl", "a test of the link passed");
  Join("a", a_.address());
  Join("b", b_.address());
  v1::Plan told;
  ASSERT_OK(controller_.Load(
      Request(), 2, [&](const v1::LoadModelProgress& now) { told = now.plan(); },
      [] { return false; }));
  for (const v1::Plan& plan : {told, Status().plan(), listener_.plan()}) {
    ASSERT_EQ(plan.stages_size(), 2);
    EXPECT_EQ(plan.stages(0).link(), "nccl");
    EXPECT_EQ(plan.stages(0).link_reason(), "a test of the link passed");
    EXPECT_EQ(plan.stages(1).link(), "");
  }
}

TEST_F(ServingControllerTest, WhoHearsOfALoadHoldsUpNobodyElse) {
  Join("a", a_.address());
  std::future<v1::ClusterStatus> status;
  bool answered = false;
  ASSERT_OK(controller_.Load(
      Request(), 1,
      [&](const v1::LoadModelProgress&) {
        if (status.valid()) return;
        status = std::async(std::launch::async, [this] { return Status(); });
        answered = status.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
      },
      [] { return false; }));
  EXPECT_TRUE(answered);
}

TEST_F(ServingControllerTest, APlacementAnewForgetsTheLinksOfTheOneBefore) {
  for (FakeStage* stage : {&a_, &b_}) stage->SetLink("nccl", "a test of the link passed");
  Join("a", a_.address());
  Join("b", b_.address());
  ASSERT_OK(Load(Request(), 2));
  for (FakeStage* stage : {&a_, &b_}) stage->SetLink("grpc", "the test of the link failed");
  v1::LoadModelRequest again = Request();
  again.set_replace(true);
  ASSERT_OK(Load(again, 2));
  EXPECT_EQ(Status().plan().stages(0).link(), "grpc");
  for (const FakeStage* stage : {&a_, &b_}) EXPECT_EQ(stage->loads()[1].stage().link(), "");
}

TEST_F(ServingControllerTest, EpochsAreNewerThanAnyThatAWorkerHasSeenWhateverTheClockSays) {
  const auto a_century_on =
      static_cast<uint64_t>(absl::ToUnixMillis(absl::Now() + 100 * 365 * absl::Hours(24)));
  Join("a", a_.address());
  Join("b", b_.address(), a_century_on);
  ASSERT_OK(Load(Request()));
  EXPECT_GT(a_.loads()[0].epoch(), a_century_on);
  EXPECT_EQ(a_.loads()[0].epoch(), b_.loads()[0].epoch());
}

TEST_F(ServingControllerTest, ALoadIsIdempotent) {
  Join("a", a_.address());
  ASSERT_OK(Load(Request()));
  ASSERT_OK(Load(Request()));
  EXPECT_EQ(a_.loads().size(), 1u);
}

TEST_F(ServingControllerTest, SaysThatNoWorkerJoined) {
  EXPECT_THAT(Load(Request(), 0),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("layercake-worker")));
}

TEST_F(ServingControllerTest, WaitsForWorkersUntilGivenUp) {
  Join("a", a_.address());
  int polls = 0;
  EXPECT_THAT(controller_.Load(Request(), 2, nullptr, [&] { return ++polls > 2; }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(a_.loads().size(), 0u);
}

TEST_F(ServingControllerTest, AMissingModelIsRefusedBeforeAnythingMoves) {
  Join("a", a_.address());
  ASSERT_OK(Load(Request()));
  v1::LoadModelRequest missing = Request();
  missing.set_model_dir("/nowhere/model");
  EXPECT_THAT(Load(missing), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/model")));
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_READY);
}

TEST_F(ServingControllerTest, AModelThatCannotFitLeavesTheOneBefore) {
  Join("a", a_.address());
  ASSERT_OK(Load(Request()));
  v1::LoadModelRequest large = Request();
  (*large.mutable_options()->mutable_max_memory_bytes())[""] = 1000;
  EXPECT_THAT(Load(large), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_READY);
  EXPECT_EQ(a_.loads().size(), 1u);
}

TEST_F(ServingControllerTest, AStageThatCannotLoadNamesItsWorkerAndFreesTheOthers) {
  Join("a", a_.address());
  Join("b", b_.address());
  b_.FailLoads(absl::ResourceExhaustedError("needs 7.1 GiB but 5.4 GiB is free"));
  EXPECT_THAT(Load(Request()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("worker b: needs 7.1 GiB")));
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_EMPTY);
  EXPECT_GE(a_.unloads(), 1);
}

TEST_F(ServingControllerTest, ALostWorkerEndsTheEpochAndTheRestIsPlacedAgain) {
  Join("a", a_.address());
  const uint64_t b = Join("b", b_.address());
  ASSERT_OK(Load(Request()));
  registry_.Lose(b, "unplugged");
  listener_.AwaitStops(1);
  EXPECT_THAT(listener_.last_stop(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("worker b was lost: unplugged")));
  listener_.AwaitEpochs(2);
  EXPECT_EQ(listener_.plan().stages_size(), 1);

  // Back again: the whole is placed anew.
  Join("b", b_.address());
  listener_.AwaitEpochs(3);
  EXPECT_EQ(listener_.plan().stages_size(), 2);
}

TEST_F(ServingControllerTest, ABrokenStreamEndsTheEpochBeforeTheHeartbeatDoes) {
  Join("a", a_.address());
  ASSERT_OK(Load(Request()));
  a_.Die();
  listener_.AwaitStops(1);
  EXPECT_THAT(listener_.last_stop(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("worker a")));
}

class SilentLinkTest : public ServingTest {
 protected:
  SilentLinkTest() : ServingTest(MakePlan, {.step_timeout = absl::Milliseconds(100)}) {}
};

TEST_F(SilentLinkTest, StepsThatGetNoFurtherEndTheEpochAndSayWhere) {
  Join("a", a_.address());
  Join("b", b_.address());
  ASSERT_OK(Load(Request(), 2));
  const uint64_t epoch = listener_.epochs()[0];
  listener_.Submit(epoch, 1);
  listener_.AwaitResults(epoch, 1);
  const std::string last = listener_.plan().stages(1).worker();
  (last == "a" ? a_ : b_).HoldSteps();
  listener_.Submit(epoch, 2);
  listener_.AwaitStops(1);
  EXPECT_THAT(listener_.last_stop(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr(absl::StrCat("nothing has come from worker ",
                                              last == "a" ? "b" : "a", " to worker ", last))));
}

TEST_F(ServingControllerTest, UnloadFreesTheStages) {
  Join("a", a_.address());
  ASSERT_OK(Load(Request()));
  ASSERT_OK(controller_.Unload());
  EXPECT_EQ(a_.unloads(), 1);
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_EMPTY);
  ASSERT_OK(Load(Request()));
  EXPECT_EQ(a_.loads().size(), 2u);
}

TEST_F(ServingControllerTest, CapsOfCardsByUuidOutliveALoss) {
  constexpr uint64_t kCap = 100 << 20;
  const uint64_t session = Join("a", a_.address());
  Join("b", b_.address());
  v1::LoadModelRequest request = Request();
  (*request.mutable_options()->mutable_max_memory_bytes())["GPU-b"] = kCap;
  ASSERT_OK(Load(request, 2));
  registry_.Lose(session, "unplugged");
  listener_.AwaitEpochs(2);
  ASSERT_EQ(listener_.plan().stages_size(), 1);
  EXPECT_EQ(listener_.plan().stages(0).available_bytes(), kCap);
}

}  // namespace
}  // namespace layercake
