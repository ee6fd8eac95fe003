#include "coordinator/cluster/serving_controller.h"

#include <vector>

#include "common/rpc/protocol.h"
#include "tests/testing/fake_stage.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr char kModel[] = LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-gqa";

// Records what the controller told, and lets the test wait for it.
class RecordingListener : public ServingListener {
 public:
  void OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model, const v1::Plan& plan,
               StepSink& pipeline) override {
    MutexLock lock(mutex_);
    epochs_.push_back(epoch);
    model_name_ = model->name;
    num_stages_ = plan.stages_size();
    pipeline_ = &pipeline;
    changed_.NotifyAll();
  }
  absl::Status OnResult(const v1::StepResult& result) override {
    MutexLock lock(mutex_);
    results_.push_back(result.step_id());
    changed_.NotifyAll();
    return absl::OkStatus();
  }
  void OnStopped(const absl::Status& reason) override {
    MutexLock lock(mutex_);
    stops_.push_back(reason);
    pipeline_ = nullptr;
    changed_.NotifyAll();
  }
  bool IsIdle() const override { return true; }

  void Submit(uint64_t step_id) {
    MutexLock lock(mutex_);
    v1::Step step;
    step.set_epoch(epochs_.back());
    step.set_step_id(step_id);
    step.add_token_ids(1);
    step.add_slices()->set_num_tokens(1);
    pipeline_->Submit(step);
  }
  void AwaitEpochs(size_t count) {
    MutexLock lock(mutex_);
    while (epochs_.size() < count) changed_.Wait(mutex_);
  }
  void AwaitStops(size_t count) {
    MutexLock lock(mutex_);
    while (stops_.size() < count) changed_.Wait(mutex_);
  }
  std::vector<uint64_t> AwaitResults(size_t count) {
    MutexLock lock(mutex_);
    while (results_.size() < count) changed_.Wait(mutex_);
    return results_;
  }
  absl::Status last_stop() {
    MutexLock lock(mutex_);
    return stops_.back();
  }
  int num_stages() {
    MutexLock lock(mutex_);
    return num_stages_;
  }
  std::string model_name() {
    MutexLock lock(mutex_);
    return model_name_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<uint64_t> epochs_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> results_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> stops_ ABSL_GUARDED_BY(mutex_);
  std::string model_name_ ABSL_GUARDED_BY(mutex_);
  int num_stages_ ABSL_GUARDED_BY(mutex_) = 0;
  StepSink* pipeline_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

class ServingControllerTest : public ::testing::Test {
 protected:
  uint64_t Join(const std::string& name, const std::string& address) {
    v1::Hello hello;
    hello.set_protocol_version(kProtocolVersion);
    hello.set_name(name);
    hello.set_address(address);
    hello.set_host(name);
    hello.mutable_device()->set_kind(v1::DEVICE_KIND_CPU);
    hello.mutable_device()->set_total_bytes(1 << 30);
    hello.mutable_device()->set_free_bytes(1 << 30);
    hello.mutable_profile()->set_bandwidth_bytes_per_second(1e10);
    hello.mutable_profile()->set_flops_per_second(1e11);
    const auto session = registry_.Join(hello);
    CHECK(session.ok()) << session.status();
    return *session;
  }

  // Equal cuts, so that every worker has a stage.
  v1::LoadModelRequest Request() {
    v1::LoadModelRequest request;
    request.set_model_dir(kModel);
    request.set_name("tiny");
    request.mutable_options()->set_policy(v1::PlanOptions::POLICY_BALANCED);
    return request;
  }

  absl::Status Load(const v1::LoadModelRequest& request, int min_workers = 1) {
    return controller_.Load(request, min_workers, nullptr, [] { return false; });
  }

  v1::ClusterStatus Status() {
    v1::ClusterStatus status;
    controller_.FillStatus(&status);
    return status;
  }

  FakeStage a_, b_;
  WorkerRegistry registry_{Clock::Real(), {}};
  RecordingListener listener_;
  ServingController controller_{registry_, listener_, Clock::Real()};
};

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

  listener_.Submit(1);
  listener_.Submit(2);
  EXPECT_THAT(listener_.AwaitResults(2), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(Status().state(), v1::SERVING_STATE_READY);
  EXPECT_EQ(Status().workers(0).state(), v1::WORKER_STATE_READY);
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
  EXPECT_EQ(listener_.num_stages(), 1);

  // Back again: the whole is placed anew.
  Join("b", b_.address());
  listener_.AwaitEpochs(3);
  EXPECT_EQ(listener_.num_stages(), 2);
}

TEST_F(ServingControllerTest, ABrokenStreamEndsTheEpochBeforeTheHeartbeatDoes) {
  Join("a", a_.address());
  ASSERT_OK(Load(Request()));
  a_.Die();
  listener_.AwaitStops(1);
  EXPECT_THAT(listener_.last_stop(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("worker a")));
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

}  // namespace
}  // namespace layercake
