#pragma once

// A serving controller over fake stages, and what it tells its listener.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/rpc/protocol.h"
#include "coordinator/cluster/serving_controller.h"
#include "tests/testing/fake_stage.h"
#include "tests/testing/status_matchers.h"

namespace layercake {

inline constexpr char kModel[] = LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-gqa";

// Records what the controller told, and lets the test wait for it.
class RecordingListener : public ServingListener {
 public:
  void OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model, const v1::Plan& plan,
               StepSink& pipeline) override {
    MutexLock lock(mutex_);
    epochs_.push_back(epoch);
    model_name_ = model->name;
    plans_[epoch] = plan;
    pipelines_[epoch] = &pipeline;
    changed_.NotifyAll();
  }
  absl::Status OnResult(uint64_t epoch, const v1::StepResult& result) override {
    MutexLock lock(mutex_);
    results_[epoch].push_back(result.step_id());
    changed_.NotifyAll();
    return absl::OkStatus();
  }
  void OnStopped(uint64_t epoch, const absl::Status& reason) override {
    MutexLock lock(mutex_);
    stops_.push_back(reason);
    pipelines_.erase(epoch);
    changed_.NotifyAll();
  }
  bool IsIdle() const override {
    MutexLock lock(mutex_);
    return idle_;
  }

  void SetIdle(bool idle) {
    MutexLock lock(mutex_);
    idle_ = idle;
  }
  void Submit(uint64_t epoch, uint64_t step_id) {
    MutexLock lock(mutex_);
    v1::Step step;
    step.set_epoch(epoch);
    step.set_step_id(step_id);
    step.add_token_ids(1);
    step.add_slices()->set_num_tokens(1);
    pipelines_.at(epoch)->Submit(step);
  }
  void AwaitEpochs(size_t count) {
    MutexLock lock(mutex_);
    while (epochs_.size() < count) changed_.Wait(mutex_);
  }
  void AwaitStops(size_t count) {
    MutexLock lock(mutex_);
    while (stops_.size() < count) changed_.Wait(mutex_);
  }
  std::vector<uint64_t> AwaitResults(uint64_t epoch, size_t count) {
    MutexLock lock(mutex_);
    while (results_[epoch].size() < count) changed_.Wait(mutex_);
    return results_[epoch];
  }
  absl::Status last_stop() {
    MutexLock lock(mutex_);
    return stops_.back();
  }
  size_t num_stops() {
    MutexLock lock(mutex_);
    return stops_.size();
  }
  // In the order in which they became ready, those that have ended too.
  std::vector<uint64_t> epochs() {
    MutexLock lock(mutex_);
    return epochs_;
  }
  // The plan of the newest epoch.
  v1::Plan plan() {
    MutexLock lock(mutex_);
    return plans_.at(epochs_.back());
  }
  // The epoch that runs on `worker` alone.
  uint64_t EpochOn(const std::string& worker) {
    MutexLock lock(mutex_);
    for (const auto& [epoch, pipeline] : pipelines_) {
      if (plans_.at(epoch).stages(0).worker() == worker) return epoch;
    }
    return 0;
  }
  std::string model_name() {
    MutexLock lock(mutex_);
    return model_name_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;
  std::vector<uint64_t> epochs_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, v1::Plan> plans_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, StepSink*> pipelines_ ABSL_GUARDED_BY(mutex_);  // those that are ready
  std::map<uint64_t, std::vector<uint64_t>> results_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> stops_ ABSL_GUARDED_BY(mutex_);
  std::string model_name_ ABSL_GUARDED_BY(mutex_);
};

// A controller with fake stages for workers to stand on.
class ServingTest : public ::testing::Test {
 protected:
  explicit ServingTest(Planner planner = MakePlan, WorkerRegistry::Options options = {})
      : registry_(Clock::Real(), options),
        controller_(registry_, listener_, Clock::Real(), std::move(planner)) {}

  uint64_t Join(const std::string& name, const std::string& address, uint64_t epoch = 0) {
    v1::Hello hello;
    hello.set_protocol_version(kProtocolVersion);
    hello.set_name(name);
    hello.set_address(address);
    hello.set_host(name);
    hello.set_epoch(epoch);
    hello.mutable_device()->set_kind(v1::DEVICE_KIND_CPU);
    hello.mutable_device()->set_uuid("GPU-" + name);
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
  WorkerRegistry registry_;
  RecordingListener listener_;
  ServingController controller_;
};

}  // namespace layercake
