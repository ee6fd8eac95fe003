#pragma once

// One completion as its client sees it: ids become text, stops are found, chunks are made.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/schedule/sequence.h"
#include "coordinator/service/generation_request.h"
#include "coordinator/text/detokenizer.h"
#include "coordinator/text/stop_detector.h"
#include "layercake/v1/inference.pb.h"
#include "layercake/v1/stage.pb.h"

namespace layercake {

// Not thread-safe. `request` and `model` must outlive it.
class Completion {
 public:
  Completion(const GenerationRequest& request, const ServedModel& model, int index,
             absl::Time arrival);

  // The sampling of the next token, with the history that a penalty asks for.
  v1::Sampling NextSampling() const;
  // Where the client wants the prompt's log-probabilities: fills in the prompt's ids after each of
  // the slice's tokens, and how many rivals to return.
  void AskPromptLogprobs(v1::Slice* slice) const;
  bool wants_prompt_logprobs() const { return request_.echo && request_.logprobs; }

  // It is part of a step: ends its time in the queue, the first time.
  void Start(absl::Time now);
  // Takes in what a slice from `position` on brought of the prompt's log-probabilities.
  void TakePrompt(int position, const v1::SliceResult& result);
  // Takes in the sampled token, already the last of `sequence`'s history. Returns the chunk to send;
  // it has `finish` if this token ends the completion.
  v1::GenerateChunk TakeToken(const v1::SliceResult& result, const Sequence& sequence,
                              absl::Time now);

 private:
  std::optional<v1::Finish> FindEnd(int32_t token, const Sequence& sequence) const;
  void AddEcho(v1::GenerateChunk& chunk);
  std::string Advance(int32_t token, std::optional<v1::Finish>& finish);
  void Describe(const Sequence& sequence, v1::Finish& finish) const;
  v1::Logprobs WithBytes(v1::Logprobs logprobs) const;

  const GenerationRequest& request_;
  const ServedModel& model_;
  const int index_;
  std::optional<Detokenizer> detokenizer_;  // none without a tokenizer
  StopDetector stop_detector_;
  bool first_chunk_ = true;
  std::map<int32_t, int32_t> history_counts_;  // how often generated; 0: in the prompt only
  std::vector<v1::Logprobs> prompt_logprobs_;  // of prompt tokens 1, 2, ...
  const absl::Time arrival_;
  std::optional<absl::Time> started_;
  std::optional<absl::Time> first_token_;
  absl::Time last_token_;
};

}  // namespace layercake
