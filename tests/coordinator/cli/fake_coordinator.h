#pragma once

// A scripted coordinator in this process, and the command line run against it.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/rpc/status.h"
#include "coordinator/cli/command.h"
#include "layercake/v1/admin.grpc.pb.h"
#include "layercake/v1/inference.grpc.pb.h"
#include "tests/testing/loopback_server.h"

namespace layercake {

// Answers every prompt with `pieces`, a chunk each, then `end`. Keeps the requests it got.
class FakeInference final : public v1::Inference::Service {
 public:
  std::vector<std::string> pieces = {"once ", "upon"};
  absl::Status end;

  grpc::Status Generate(grpc::ServerContext*, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateChunk>* writer) override {
    {
      MutexLock lock(mutex_);
      generate_requests.push_back(*request);
    }
    return Stream(request->options(), request->token_ids().ids_size(), writer);
  }
  grpc::Status Chat(grpc::ServerContext*, const v1::ChatRequest* request,
                    grpc::ServerWriter<v1::GenerateChunk>* writer) override {
    {
      MutexLock lock(mutex_);
      chat_requests.push_back(*request);
    }
    return Stream(request->options(), 7, writer);
  }
  grpc::Status GenerateUnary(grpc::ServerContext*, const v1::GenerateRequest*,
                             v1::GenerateResponse* response) override {
    response->set_model("fake");
    for (const std::string& piece : pieces) {
      if (response->completions_size() == 0) response->add_completions();
      absl::StrAppend(response->mutable_completions(0)->mutable_text(), piece);
    }
    return ToGrpcStatus(end);
  }
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    v1::ModelInfo* model = response->add_models();
    model->set_name("fake");
    model->set_vocab_size(100);
    model->set_max_context_tokens(64);
    return grpc::Status::OK;
  }
  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    for (const char c : request->text()) {
      response->add_token_ids(c);
      response->add_tokens(std::string(1, c));
    }
    return grpc::Status::OK;
  }

  std::vector<v1::GenerateRequest> generate_requests;
  std::vector<v1::ChatRequest> chat_requests;

 private:
  grpc::Status Stream(const v1::GenerateOptions& options, int prompt_tokens,
                      grpc::ServerWriter<v1::GenerateChunk>* writer) {
    const int completions = options.has_n() ? options.n() : 1;
    int32_t id = 0;
    for (const std::string& piece : pieces) {
      for (int index = 0; index < completions; ++index) {
        v1::GenerateChunk chunk;
        chunk.set_index(index);
        chunk.set_text(piece);
        chunk.add_token_ids(++id);
        writer->Write(chunk);
      }
    }
    if (!end.ok()) return ToGrpcStatus(end);
    for (int index = 0; index < completions; ++index) {
      v1::GenerateChunk last;
      last.set_index(index);
      v1::Finish* finish = last.mutable_finish();
      finish->set_reason(v1::STOP_REASON_MAX_TOKENS);
      finish->mutable_usage()->set_prompt_tokens(prompt_tokens);
      finish->mutable_usage()->set_completion_tokens(static_cast<int32_t>(pieces.size()));
      finish->mutable_timings()->set_completion_tokens_per_second(53.2);
      writer->Write(last);
    }
    return grpc::Status::OK;
  }

  Mutex mutex_;
};

// All twelve layers of model "m" on one worker.
inline v1::Plan OneStage(const std::string& worker) {
  v1::Plan plan;
  plan.set_model("m");
  v1::StagePlan* stage = plan.add_stages();
  stage->set_worker(worker);
  stage->set_num_layers(12);
  return plan;
}

class FakeAdmin final : public v1::Admin::Service {
 public:
  v1::ClusterStatus status;
  v1::Plan plan;
  absl::Status load_end;

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                         v1::ClusterStatus* response) override {
    *response = status;
    return grpc::Status::OK;
  }
  grpc::Status PlanModel(grpc::ServerContext*, const v1::PlanModelRequest* request,
                         v1::PlanModelResponse* response) override {
    plan_request = *request;
    *response->mutable_plan() = plan;
    return grpc::Status::OK;
  }
  grpc::Status LoadModel(grpc::ServerContext*, const v1::LoadModelRequest* request,
                         grpc::ServerWriter<v1::LoadModelProgress>* writer) override {
    load_request = *request;
    if (!load_end.ok()) return ToGrpcStatus(load_end);
    v1::LoadModelProgress progress;
    *progress.mutable_plan() = plan;
    writer->Write(progress);
    v1::LoadModelProgress last;
    last.set_ready(true);
    writer->Write(last);
    return grpc::Status::OK;
  }
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override {
    while (wait_for_cancel && !context->IsCancelled()) std::this_thread::yield();
    drain_request = *request;
    response->set_remaining_sequences(remaining_sequences);
    return grpc::Status::OK;
  }

  grpc::Status MeasureLinks(grpc::ServerContext*, const v1::MeasureLinksRequest*,
                            v1::MeasureLinksResponse* response) override {
    *response = links;
    return grpc::Status::OK;
  }

  v1::MeasureLinksResponse links;
  int remaining_sequences = 0;
  bool wait_for_cancel = false;
  v1::PlanModelRequest plan_request;
  v1::LoadModelRequest load_request;
  v1::DrainRequest drain_request;
};

class CliTest : public ::testing::Test {
 protected:
  struct Outcome {
    int code;
    std::string out;
    std::string err;
  };

  ~CliTest() override { server_.Shutdown(); }

  // `layercake <arguments> --address <the fake's>`.
  Outcome Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "layercake");
    arguments.insert(arguments.end(), {"--address", server_.address()});
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome{.code = RunCommandLine(static_cast<int>(argv.size()), argv.data())};
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }

  FakeInference inference_;
  FakeAdmin admin_;
  LoopbackServer server_{{&inference_, &admin_}};
};

}  // namespace layercake
