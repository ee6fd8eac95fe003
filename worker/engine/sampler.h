#pragma once

// Draws the next token from logits.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "worker/kernels/logit_summary.h"

namespace layercake {

// Fully resolved, as Sampling in stage.proto; ranges as in types.proto SamplingParams. The spans
// are borrowed for the call (a repeated field's memory will do).
struct SamplingSettings {
  float temperature = 1;  // 0 is greedy
  int32_t top_k = 0;      // 0 keeps all
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint64_t seed = 0;
  bool logprobs = false;
  int32_t top_logprobs = 0;                 // how many rivals; counts only with `logprobs`
  std::span<const int32_t> history_ids;     // distinct
  std::span<const int32_t> history_counts;  // times generated; as many as history_ids
  std::span<const int32_t> banned_ids;
};

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;
};

struct SampledToken {
  int32_t token_id = 0;
  // With settings.logprobs: of the token, and the likeliest ids (ties: lowest id first), both under
  // the unmodified logits.
  float logprob = 0;
  std::vector<TokenLogprob> top;
};

// Draws the token that will stand at `position` of its sequence. The order of operations is the
// one SamplingParams documents: penalties, bans, temperature, top-k, min-p, top-p, one draw. Among
// equal logits the lower id counts as the likelier. Pure: the same arguments give the same token,
// on any number of threads and any instruction set; the random number is Philox 4x32-10 of (seed,
// position).
//   logits: [vocab_size] f32, used as scratch: its contents are lost.
// Thread-safe; no memory is taken but with `logprobs`.
// Errors: Internal (a logit is NaN or +infinity, or every token is banned or -infinity: says
// which); InvalidArgument (a setting out of range, an id outside the vocabulary). Source: Salmon et
// al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
absl::StatusOr<SampledToken> Sample(std::span<float> logits, const SamplingSettings& settings,
                                    int64_t position);

// What Sample would report of `token_id` had it drawn it: its logprob and `top_logprobs` rivals.
// Errors: Internal (as above); InvalidArgument (an id outside the vocabulary).
absl::StatusOr<SampledToken> Score(std::span<const float> logits, int32_t token_id,
                                   int32_t top_logprobs);

// A row of logits that stays where a device has it.
struct SummarizedRow {
  int64_t vocab_size = 0;
  const LogitSummary& summary;
  // Of each strip, as SummarizeLogits has them, where they were asked for.
  std::span<const double> sums;        // of weights of scale 1 / temperature
  std::span<const double> plain_sums;  // of scale 1
  // Fetches the logits of a strip, as many as there are.
  absl::FunctionRef<absl::Status(int64_t strip, std::span<float> logits)> fetch;
};

// What SampleSummarized and ScoreSummarized need to be asked of the row, for LogitChanges at
// first_change: of the banned ids, then of the history's. nullopt: these settings change logits and
// report of the unchanged ones, and so take the whole row.
std::optional<LogitQuery> QueryToSample(const SamplingSettings& settings);
// The settings for a row whose logits the query has changed.
SamplingSettings OfChangedRow(SamplingSettings settings);
LogitQuery QueryToScore(int32_t token_id);

// As Sample and Score of the whole row, bit for bit; nullopt: they need it, as the summary does not
// tell enough (a filter that keeps more tokens than it has, or more rivals).
// REQUIRES: the row was asked what these settings need.
absl::StatusOr<std::optional<SampledToken>> SampleSummarized(const SummarizedRow& row,
                                                             const SamplingSettings& settings,
                                                             int64_t position);
absl::StatusOr<std::optional<SampledToken>> ScoreSummarized(const SummarizedRow& row,
                                                            int32_t token_id, int32_t top_logprobs);

}  // namespace layercake
