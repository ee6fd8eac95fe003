#include "worker/service/step_messages.h"

#include <string>

#include "common/rpc/duration.h"

namespace layercake {
namespace {

std::span<const int32_t> ToSpan(const google::protobuf::RepeatedField<int32_t>& ids) {
  return {ids.data(), static_cast<size_t>(ids.size())};
}

SamplingSettings ToSettings(const v1::Sampling& message) {
  return {.temperature = message.temperature(),
          .top_k = message.top_k(),
          .top_p = message.top_p(),
          .min_p = message.min_p(),
          .repetition_penalty = message.repetition_penalty(),
          .presence_penalty = message.presence_penalty(),
          .frequency_penalty = message.frequency_penalty(),
          .seed = message.seed(),
          .logprobs = message.logprobs(),
          .top_logprobs = message.top_logprobs(),
          .history_ids = ToSpan(message.history_ids()),
          .history_counts = ToSpan(message.history_counts()),
          .banned_ids = ToSpan(message.banned_ids())};
}

void Add(int32_t token_id, float logprob, v1::TokenLogprob& message) {
  message.set_token_id(token_id);
  message.set_logprob(logprob);
}

void FillLogprobs(const SampledToken& token, v1::Logprobs& message) {
  Add(token.token_id, token.logprob, *message.mutable_chosen());
  for (const TokenLogprob& rival : token.top) {
    Add(rival.token_id, rival.logprob, *message.add_top());
  }
}

}  // namespace

StepRequest ToStepRequest(const v1::Step& message) {
  StepRequest step;
  step.epoch = message.epoch();
  step.step_id = message.step_id();
  step.token_ids = ToSpan(message.token_ids());
  step.slices.reserve(message.slices_size());
  for (const v1::Slice& slice : message.slices()) {
    SliceRequest& request = step.slices.emplace_back();
    request.view = {slice.position(), slice.num_tokens(), ToSpan(slice.block_ids())};
    request.sample = slice.output() == v1::Slice::OUTPUT_SAMPLE;
    request.sampling = ToSettings(slice.sampling());
    request.known_next_ids = ToSpan(slice.known_next_ids());
    request.known_top_logprobs = slice.known_top_logprobs();
  }
  return step;
}

v1::StepResult ToMessage(const StepOutput& output, const StepRequest& step) {
  v1::StepResult message;
  message.set_step_id(output.step_id);
  *message.mutable_compute_time() = ToProto(output.compute_time);
  *message.mutable_wait_time() = ToProto(output.wait_time);
  for (size_t i = 0; i < output.slices.size(); ++i) {
    v1::SliceResult& result = *message.add_slices();
    if (!output.slices[i].error.ok()) {
      result.set_error(std::string(output.slices[i].error.message()));
      continue;
    }
    if (const auto& sampled = output.slices[i].sampled) {
      result.set_token_id(sampled->token_id);
      if (step.slices[i].sampling.logprobs) FillLogprobs(*sampled, *result.mutable_logprobs());
    }
    for (const SampledToken& known : output.slices[i].known) {
      FillLogprobs(known, *result.add_known());
    }
  }
  return message;
}

}  // namespace layercake
