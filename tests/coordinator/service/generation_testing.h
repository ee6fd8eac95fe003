#pragma once

// A generation loop over scripted pipelines, and what its clients see.

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "coordinator/service/generation_loop.h"
#include "tests/testing/manual_clock.h"
#include "tests/testing/status_matchers.h"

namespace layercake {

// Keeps the steps it was given until the test answers them.
class ScriptedPipeline : public StepSink {
 public:
  void Submit(const v1::Step& step) override { steps.push_back(step); }
  std::deque<v1::Step> steps;
};

// Every sampled token of the answer is `next_token`, counting up.
inline v1::StepResult AnswerTo(const v1::Step& step, int32_t& next_token) {
  v1::StepResult result;
  result.set_step_id(step.step_id());
  for (const v1::Slice& slice : step.slices()) {
    v1::SliceResult* out = result.add_slices();
    if (slice.output() == v1::Slice::OUTPUT_SAMPLE) out->set_token_id(next_token++);
    out->mutable_logprobs()->mutable_chosen()->set_token_id(out->token_id());
    for (const int32_t id : slice.known_next_ids()) {
      out->add_known()->mutable_chosen()->set_token_id(id);
    }
  }
  return result;
}

// What a client saw.
class RecordingSink : public ChunkSink {
 public:
  void Write(v1::GenerateChunk chunk) override {
    ASSERT_FALSE(ended);
    for (const int32_t id : chunk.token_ids()) tokens[chunk.index()].push_back(id);
    for (const auto& logprobs : chunk.logprobs()) {
      logprob_ids[chunk.index()].push_back(logprobs.chosen().token_id());
    }
    if (chunk.has_finish()) finishes[chunk.index()] = chunk.finish();
  }
  void End(const absl::Status& end_status) override {
    ASSERT_FALSE(ended);
    ended = true;
    status = end_status;
  }

  std::map<int, std::vector<int32_t>> tokens;
  std::map<int, std::vector<int32_t>> logprob_ids;
  std::map<int, v1::Finish> finishes;
  bool ended = false;
  absl::Status status;
};

// Two pipelines of one stage, 16 blocks of 4 tokens, batches of 4 and steps of 16 tokens; each
// serves from when the test says so, as epoch 7 and 8.
class GenerationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LC_ASSERT_OK_AND_ASSIGN(
        model_, ServedModel::Open(LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-gqa", "tiny"));
    plan_.add_stages()->set_num_blocks(16);
    plan_.set_block_size_tokens(4);
    plan_.set_max_context_tokens(64);
    plan_.set_max_batch_sequences(4);
    plan_.set_max_step_tokens(16);
  }

  void Serve() { loop_.OnReady(7, model_, plan_, pipeline_); }
  void ServeBoth() {
    Serve();
    loop_.OnReady(8, model_, plan_, other_);
  }

  GenerationRequest Request(int prompt_tokens, int max_tokens) {
    GenerationRequest request;
    request.prompt_ids.resize(static_cast<size_t>(prompt_tokens));
    std::iota(request.prompt_ids.begin(), request.prompt_ids.end(), 10);
    request.sampling.set_repetition_penalty(1);
    request.sampling.set_seed(42);
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    return request;
  }

  absl::Status AnswerStep(ScriptedPipeline& pipeline) {
    const v1::Step step = pipeline.steps.front();
    pipeline.steps.pop_front();
    clock_.Advance(absl::Milliseconds(10));
    return loop_.OnResult(step.epoch(), AnswerTo(step, next_token_));
  }
  absl::Status AnswerStep() { return AnswerStep(pipeline_); }

  void RunAll() {
    while (!pipeline_.steps.empty()) ASSERT_OK(AnswerStep(pipeline_));
    while (!other_.steps.empty()) ASSERT_OK(AnswerStep(other_));
  }

  v1::ClusterStatus Status() {
    v1::ClusterStatus status;
    loop_.FillStatus(&status);
    return status;
  }

  ManualClock clock_;
  ScriptedPipeline pipeline_;
  ScriptedPipeline other_;
  v1::Plan plan_;
  std::shared_ptr<const ServedModel> model_;
  GenerationLoop loop_{&clock_, /*max_waiting=*/8};
  RecordingSink sink_;
  int32_t next_token_ = 100;
};

}  // namespace layercake
