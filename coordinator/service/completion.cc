#include "coordinator/service/completion.h"

#include <algorithm>
#include <utility>

#include "common/rpc/duration.h"

namespace layercake {
namespace {

double Rate(int tokens, absl::Duration time) {
  return time > absl::ZeroDuration() ? tokens / absl::ToDoubleSeconds(time) : 0;
}

bool HasPenalty(const v1::Sampling& sampling) {
  return sampling.repetition_penalty() != 1 || sampling.presence_penalty() != 0 ||
         sampling.frequency_penalty() != 0;
}

}  // namespace

Completion::Completion(const GenerationRequest& request, const ServedModel& model, int index,
                       absl::Time arrival)
    : request_(request),
      model_(model),
      index_(index),
      stop_detector_(request.stop),
      arrival_(arrival) {
  if (model.tokenizer != nullptr) detokenizer_.emplace(*model.tokenizer);
  if (HasPenalty(request.sampling)) {
    for (const int32_t id : request.prompt_ids) history_counts_[id] = 0;
  }
}

v1::Sampling Completion::NextSampling() const {
  v1::Sampling sampling = request_.sampling;
  sampling.set_seed(sampling.seed() + static_cast<uint64_t>(index_));
  for (const auto& [id, count] : history_counts_) {
    sampling.add_history_ids(id);
    sampling.add_history_counts(count);
  }
  return sampling;
}

void Completion::AskPromptLogprobs(v1::Slice* slice) const {
  if (!wants_prompt_logprobs()) return;
  const int end = std::min<int>(slice->position() + slice->num_tokens() + 1,
                                static_cast<int>(request_.prompt_ids.size()));
  for (int i = slice->position() + 1; i < end; ++i) {
    slice->add_known_next_ids(request_.prompt_ids[static_cast<size_t>(i)]);
  }
  slice->set_known_top_logprobs(request_.sampling.top_logprobs());
}

void Completion::Start(absl::Time now) {
  if (!started_) started_ = now;
}

void Completion::TakePrompt(int position, const v1::SliceResult& result) {
  for (int i = 0; i < result.known_size(); ++i) {
    // After a replay, positions come a second time.
    if (static_cast<size_t>(position + i) == prompt_logprobs_.size()) {
      prompt_logprobs_.push_back(WithBytes(result.known(i)));
    }
  }
}

v1::GenerateChunk Completion::TakeToken(const v1::SliceResult& result, const Sequence& sequence,
                                        absl::Time now) {
  v1::GenerateChunk chunk;
  chunk.set_index(index_);
  if (std::exchange(first_chunk_, false)) {
    first_token_ = now;
    chunk.set_model(model_.name);
    if (request_.echo) AddEcho(chunk);
  }
  last_token_ = now;
  const int32_t token = result.token_id();
  if (HasPenalty(request_.sampling)) ++history_counts_[token];
  chunk.add_token_ids(token);
  if (request_.logprobs) *chunk.add_logprobs() = WithBytes(result.logprobs());

  std::optional<v1::Finish> finish = FindEnd(token, sequence);
  chunk.mutable_text()->append(Advance(token, finish));
  if (finish) {
    Describe(sequence, *finish);
    *chunk.mutable_finish() = *std::move(finish);
  }
  return chunk;
}

// The ends that need no text, in the order of their claim.
std::optional<v1::Finish> Completion::FindEnd(int32_t token, const Sequence& sequence) const {
  v1::Finish finish;
  const auto holds = [token](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  if (holds(request_.stop_ids)) {
    finish.set_reason(v1::STOP_REASON_STOP_ID);
    finish.set_stop_id(token);
  } else if (!request_.ignore_eos && holds(model_.checkpoint->config().eos_ids)) {
    finish.set_reason(v1::STOP_REASON_EOS);
    finish.set_stop_id(token);
  } else if (sequence.num_generated_tokens() >= request_.max_tokens) {
    finish.set_reason(v1::STOP_REASON_MAX_TOKENS);
  } else {
    return std::nullopt;
  }
  return finish;
}

// The text that is certain after `token`; a stop string found in it ends the completion, whatever
// else did.
std::string Completion::Advance(int32_t token, std::optional<v1::Finish>& finish) {
  if (!detokenizer_) return "";
  // The id that stopped it is no part of the text.
  std::string grown = finish && finish->has_stop_id() ? "" : detokenizer_->Push(token);
  if (finish) grown += detokenizer_->Flush();
  std::string text = stop_detector_.Push(grown);
  if (stop_detector_.stopped()) {
    finish.emplace();
    finish->set_reason(v1::STOP_REASON_STOP_STRING);
    finish->set_stop(*stop_detector_.matched());
  } else if (finish) {
    text += stop_detector_.Flush();
  }
  return text;
}

void Completion::AddEcho(v1::GenerateChunk& chunk) {
  chunk.set_text(request_.prompt_text);
  chunk.mutable_token_ids()->Assign(request_.prompt_ids.begin(), request_.prompt_ids.end());
  if (!request_.logprobs) return;
  // Nothing comes before the first token, so it has no probability.
  v1::Logprobs first;
  first.mutable_chosen()->set_token_id(request_.prompt_ids[0]);
  *chunk.add_logprobs() = WithBytes(std::move(first));
  for (v1::Logprobs& logprobs : prompt_logprobs_) *chunk.add_logprobs() = std::move(logprobs);
}

void Completion::Describe(const Sequence& sequence, v1::Finish& finish) const {
  v1::Usage& usage = *finish.mutable_usage();
  usage.set_prompt_tokens(sequence.num_prompt_tokens);
  usage.set_cached_tokens(sequence.num_cached_tokens);
  usage.set_completion_tokens(sequence.num_generated_tokens());
  finish.set_seed(request_.sampling.seed() + static_cast<uint64_t>(index_));

  v1::Timings& timings = *finish.mutable_timings();
  *timings.mutable_queued() = ToProto(*started_ - arrival_);
  *timings.mutable_time_to_first_token() = ToProto(*first_token_ - arrival_);
  *timings.mutable_total() = ToProto(last_token_ - arrival_);
  timings.set_prompt_tokens_per_second(
      Rate(sequence.num_prompt_tokens - sequence.num_cached_tokens, *first_token_ - *started_));
  timings.set_completion_tokens_per_second(
      Rate(sequence.num_generated_tokens() - 1, last_token_ - *first_token_));
}

v1::Logprobs Completion::WithBytes(v1::Logprobs logprobs) const {
  if (model_.tokenizer == nullptr) return logprobs;
  const auto fill = [this](v1::TokenLogprob* entry) {
    entry->set_token(model_.tokenizer->TokenBytes(entry->token_id()));
  };
  fill(logprobs.mutable_chosen());
  for (v1::TokenLogprob& entry : *logprobs.mutable_top()) fill(&entry);
  return logprobs;
}

}  // namespace layercake
