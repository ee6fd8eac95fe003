// Several replicas of the pipeline under one controller.

#include "tests/coordinator/cluster/serving_testing.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

// The whole model on each device, a KV block more on each; as many replicas as were asked for, or
// else one per device.
absl::StatusOr<v1::Plan> OneDeviceEach(const ModelConfig& model, const Fleet& fleet,
                                       const v1::PlanOptions& options,
                                       absl::string_view model_name) {
  const size_t num_replicas =
      options.replicas() > 0 ? static_cast<size_t>(options.replicas()) : fleet.devices.size();
  if (fleet.devices.size() < num_replicas) return absl::ResourceExhaustedError("too few devices");
  v1::Plan plan;
  plan.set_model(std::string(model_name));
  plan.set_num_replicas(static_cast<int>(num_replicas));
  plan.set_block_size_tokens(4);
  plan.set_max_context_tokens(options.context_tokens() > 0 ? options.context_tokens() : 64);
  plan.set_max_batch_sequences(4);
  plan.set_max_step_tokens(16);
  for (size_t i = 0; i < num_replicas; ++i) {
    v1::StagePlan* stage = plan.add_stages();
    stage->set_worker(fleet.devices[i].name);
    stage->set_num_layers(static_cast<int>(model.num_layers));
    stage->set_has_embedding(true);
    stage->set_has_head(true);
    stage->set_replica(static_cast<int>(i));
    stage->set_num_blocks(static_cast<int>(16 + i));
  }
  return plan;
}

class ServingReplicasTest : public ServingTest {
 protected:
  ServingReplicasTest() : ServingTest(OneDeviceEach) {}

  // Workers "a" and "b", a replica on each.
  void ServeOnTwo() {
    a_session_ = Join("a", a_.address());
    b_session_ = Join("b", b_.address());
    ASSERT_OK(Load(Request()));
    listener_.AwaitEpochs(2);
  }

  uint64_t a_session_ = 0;
  uint64_t b_session_ = 0;
};

TEST_F(ServingReplicasTest, EachHasAnEpochAndAPipelineOfItsOwn) {
  ServeOnTwo();
  const uint64_t on_a = listener_.EpochOn("a");
  const uint64_t on_b = listener_.EpochOn("b");
  EXPECT_NE(on_a, on_b);
  EXPECT_EQ(a_.loads()[0].epoch(), on_a);
  EXPECT_EQ(b_.loads()[0].epoch(), on_b);
  EXPECT_TRUE(a_.loads()[0].next_address().empty());
  EXPECT_EQ(a_.loads()[0].stage().num_blocks(), 16);
  EXPECT_EQ(b_.loads()[0].stage().num_blocks(), 17);
  listener_.Submit(on_a, 1);
  listener_.Submit(on_b, 1);
  EXPECT_THAT(listener_.AwaitResults(on_a, 1), ::testing::ElementsAre(1));
  EXPECT_THAT(listener_.AwaitResults(on_b, 1), ::testing::ElementsAre(1));

  const v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), v1::SERVING_STATE_READY);
  EXPECT_EQ(status.detail(), "");
  EXPECT_EQ(status.plan().num_replicas(), 2);
  EXPECT_EQ(status.plan().stages(1).num_blocks(), 17);
  ASSERT_EQ(status.replicas_size(), 2);
  EXPECT_EQ(status.replicas(1).epoch(), on_b);
  EXPECT_TRUE(status.replicas(1).ready());
  for (const v1::WorkerStatus& worker : status.workers()) {
    EXPECT_EQ(worker.state(), v1::WORKER_STATE_READY) << worker.name();
  }
}

TEST_F(ServingReplicasTest, ALossEndsOneEpochAndTheOtherGoesOn) {
  ServeOnTwo();
  const uint64_t on_a = listener_.EpochOn("a");
  registry_.Lose(b_session_, "unplugged");
  listener_.AwaitStops(1);
  EXPECT_THAT(listener_.last_stop(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("worker b was lost: unplugged")));
  EXPECT_EQ(listener_.EpochOn("b"), 0u);
  listener_.Submit(on_a, 1);
  EXPECT_THAT(listener_.AwaitResults(on_a, 1), ::testing::ElementsAre(1));

  const v1::ClusterStatus status = Status();
  EXPECT_EQ(status.state(), v1::SERVING_STATE_READY);
  EXPECT_THAT(status.detail(), HasSubstr("worker b was lost"));
  EXPECT_EQ(status.plan().num_replicas(), 1);
  EXPECT_EQ(status.replicas_size(), 1);
  EXPECT_EQ(a_.loads().size(), 1u);
  EXPECT_EQ(a_.unloads(), 0);
}

TEST_F(ServingReplicasTest, AWorkerThatIsBackGetsItsReplicaWhileTheOtherIsBusy) {
  ServeOnTwo();
  const uint64_t on_a = listener_.EpochOn("a");
  listener_.SetIdle(false);
  registry_.Lose(b_session_, "unplugged");
  listener_.AwaitStops(1);
  Join("b", b_.address());
  listener_.AwaitEpochs(3);
  EXPECT_EQ(listener_.EpochOn("a"), on_a);
  EXPECT_GT(listener_.EpochOn("b"), on_a);
  EXPECT_EQ(listener_.num_stops(), 1u);
  EXPECT_EQ(listener_.plan().stages(0).replica(), 1);
  // What clients were promised holds there too.
  EXPECT_EQ(listener_.plan().max_context_tokens(), 64);
  EXPECT_EQ(Status().replicas_size(), 2);
}

TEST_F(ServingReplicasTest, ALossIsNoticedWhileAnotherReplicaLoads) {
  ServeOnTwo();
  b_.HoldLoads();
  registry_.Lose(b_session_, "unplugged");
  listener_.AwaitStops(1);
  Join("b", b_.address());
  b_.AwaitLoads(2);
  registry_.Lose(a_session_, "it burns");
  listener_.AwaitStops(2);
  EXPECT_THAT(listener_.last_stop().message(), HasSubstr("worker a was lost: it burns"));
  b_.ReleaseLoads();
  listener_.AwaitEpochs(3);
  EXPECT_NE(listener_.EpochOn("b"), 0u);
}

TEST_F(ServingReplicasTest, WithAllLostFewerThanAskedForAreBetterThanNone) {
  a_session_ = Join("a", a_.address());
  b_session_ = Join("b", b_.address());
  v1::LoadModelRequest request = Request();
  request.mutable_options()->set_replicas(2);
  ASSERT_OK(Load(request));
  registry_.Lose(a_session_, "unplugged");
  registry_.Lose(b_session_, "unplugged");
  listener_.AwaitStops(2);
  Join("b", b_.address());
  listener_.AwaitEpochs(3);
  EXPECT_EQ(Status().plan().num_replicas(), 1);
  Join("a", a_.address());
  listener_.AwaitEpochs(5);
  EXPECT_EQ(Status().plan().num_replicas(), 2);
}

TEST_F(ServingReplicasTest, OneThatCannotLoadFailsTheWholeAndFreesTheOthers) {
  a_session_ = Join("a", a_.address());
  b_session_ = Join("b", b_.address());
  b_.FailLoads(absl::ResourceExhaustedError("needs 7.1 GiB but 5.4 GiB is free"));
  EXPECT_THAT(Load(Request()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("worker b: needs 7.1 GiB")));
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_EMPTY);
  EXPECT_GE(a_.unloads(), 1);
}

TEST_F(ServingReplicasTest, UnloadAndStopEndAllOfThem) {
  ServeOnTwo();
  ASSERT_OK(controller_.Unload());
  EXPECT_EQ(a_.unloads(), 1);
  EXPECT_EQ(b_.unloads(), 1);
  EXPECT_EQ(listener_.num_stops(), 2u);
  ASSERT_OK(Load(Request()));
  controller_.Stop();
  EXPECT_EQ(listener_.num_stops(), 4u);
  EXPECT_EQ(a_.unloads(), 1);
  EXPECT_THAT(Load(Request()), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
}

}  // namespace
}  // namespace layercake
