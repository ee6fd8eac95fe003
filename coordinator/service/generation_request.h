#pragma once

// A client's options, checked and with every default filled in.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/cluster/served_model.h"
#include "layercake/v1/inference.pb.h"
#include "layercake/v1/stage.pb.h"

namespace layercake {

// One prompt and how to complete it, `n` times.
struct GenerationRequest {
  std::vector<int32_t> prompt_ids;  // at least one
  std::string prompt_text;          // for echo
  v1::Sampling sampling;            // its seed is the first completion's; history fields empty
  int max_tokens = 0;               // >= 1; prompt and completion fit the context
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;
  bool ignore_eos = false;
  bool logprobs = false;
  int n = 1;
  bool echo = false;
};

// The most that one request may ask for.
inline constexpr int kMaxCompletions = 16;
inline constexpr int kMaxStopStrings = 16;
inline constexpr int kMaxTopLogprobs = 20;

// Checks `options` and fills in what it leaves out: from the model's generation_config.json, then
// from the defaults that types.proto names; a seed is drawn if none is given.
//   prompt_ids: the tokenized prompt.   max_context_tokens: of the plan.
// Errors: InvalidArgument with a BadRequest violation for every field that is wrong, figures
// included; FailedPrecondition (stop strings without a tokenizer).
absl::StatusOr<GenerationRequest> ResolveRequest(const v1::GenerateOptions& options,
                                                 const ServedModel& model,
                                                 std::vector<int32_t> prompt_ids,
                                                 int max_context_tokens);

}  // namespace layercake
