#pragma once

// A worker's Stage service on loopback, and what a coordinator would say to it.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/model/checkpoint.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "tests/testing/loopback_server.h"
#include "tests/testing/status_matchers.h"
#include "worker/service/stage_host.h"
#include "worker/service/stage_service.h"

namespace layercake {

inline std::string GoldenModel() { return LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-gqa"; }

class TestWorker {
 public:
  explicit TestWorker(StageHostOptions options = {}) {
    if (options.worker_name.empty()) options.worker_name.push_back('w');
    device_ = *Device::CreateCpu(1);
    host_ = std::make_unique<StageHost>(options, *device_, *Clock::Real());
    service_ = std::make_unique<StageService>(*host_, permit_);
    server_.emplace(std::vector<grpc::Service*>{service_.get()});
    stub_ = v1::Stage::NewStub(CreateChannel(server_->address()));
  }
  ~TestWorker() { Shutdown(); }

  // As the program does when told to stop.
  void Shutdown() {
    host_->Stop();
    server_->Shutdown(std::chrono::milliseconds(250));
  }
  void Die() { server_->Die(); }

  absl::Status Load(const v1::LoadStageRequest& request,
                    std::vector<v1::LoadStageProgress>* progress = nullptr) {
    grpc::ClientContext context;
    const auto reader = stub_->Load(&context, request);
    v1::LoadStageProgress message;
    while (reader->Read(&message)) {
      if (progress != nullptr) progress->push_back(message);
    }
    return FromGrpcStatus(reader->Finish());
  }
  absl::Status Unload() {
    grpc::ClientContext context;
    v1::UnloadStageResponse response;
    return FromGrpcStatus(stub_->Unload(&context, {}, &response));
  }

  v1::Stage::Stub& stub() { return *stub_; }
  StageHost& host() { return *host_; }
  ProbePermit& permit() { return permit_; }
  const std::string& address() const { return server_->address(); }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<StageHost> host_;
  ProbePermit permit_;
  std::unique_ptr<StageService> service_;
  std::optional<LoopbackServer> server_;
  std::unique_ptr<v1::Stage::Stub> stub_;
};

// Layers [first, end) of the golden model, which has three.
inline v1::LoadStageRequest LoadRequest(uint64_t epoch, int first = 0, int end = 3,
                                        const std::string& next_address = "") {
  v1::LoadStageRequest request;
  request.set_epoch(epoch);
  request.set_model_dir(GoldenModel());
  request.set_fingerprint((*Checkpoint::Open(GoldenModel()))->fingerprint());
  request.mutable_stage()->set_first_layer(first);
  request.mutable_stage()->set_num_layers(end - first);
  request.mutable_stage()->set_has_embedding(first == 0);
  request.mutable_stage()->set_has_head(end == 3);
  request.mutable_stage()->set_num_blocks(8);
  request.set_block_size_tokens(16);
  request.set_max_batch_sequences(2);
  request.set_max_step_tokens(48);
  request.set_max_context_tokens(128);
  request.set_next_address(next_address);
  return request;
}

// One greedy slice of `ids` from `position` on.
inline v1::Step GreedyStep(uint64_t epoch, uint64_t step_id, int position,
                           const std::vector<int32_t>& ids) {
  v1::Step step;
  step.set_epoch(epoch);
  step.set_step_id(step_id);
  step.mutable_token_ids()->Assign(ids.begin(), ids.end());
  v1::Slice& slice = *step.add_slices();
  slice.set_position(position);
  slice.set_num_tokens(static_cast<int>(ids.size()));
  for (const int32_t block : {6, 2, 7, 1, 0, 3, 5, 4}) slice.add_block_ids(block);
  slice.set_output(v1::Slice::OUTPUT_SAMPLE);
  slice.mutable_sampling()->set_top_p(1);
  slice.mutable_sampling()->set_repetition_penalty(1);
  return step;
}

// One open Execute call.
class ExecuteCall {
 public:
  explicit ExecuteCall(TestWorker& worker) : stream_(worker.stub().Execute(&context_)) {}
  ~ExecuteCall() {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }

  bool Write(const v1::Step& step) { return stream_->Write(step); }
  bool Read() { return stream_->Read(&result_); }
  const v1::StepResult& result() const { return result_; }
  void WritesDone() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }
  // How the call ended; results not read are skipped.
  absl::Status Finish() {
    while (Read()) {
    }
    finished_ = true;
    return FromGrpcStatus(stream_->Finish());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::Step, v1::StepResult>> stream_;
  v1::StepResult result_;
  bool finished_ = false;
};

}  // namespace layercake
