#pragma once

// What a sampler needs to know of a row of logits: short enough to fetch from a device for every
// token, where whole vocabularies are not. Plain, so that device code may include it.

#include <cstdint>

namespace layercake {

// So many of the largest logits are told apart.
inline constexpr int kMaxLikeliest = 256;
// Weights are summed in strips of so many logits.
inline constexpr int kLogitStrip = 256;

struct LikelyToken {
  float logit;
  int32_t id;
};

inline int64_t NumLogitStrips(int64_t vocab_size) {
  return (vocab_size + kLogitStrip - 1) / kLogitStrip;
}

// A token whose logit a query changes.
struct LogitChange {
  int32_t id;
  int32_t times_generated;
};

// What is asked of a row.
struct LogitQuery {
  // Before all else logits are changed in place, as SamplingParams in types.proto has it: from
  // changes[first_change] on those of banned tokens, then of penalized ones, which are distinct.
  // What is NaN or +infinity stays.
  int64_t first_change = 0;
  int32_t num_banned = 0;
  int32_t num_penalized = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float scale = 0;        // sum the weights exp((logit - max) * scale); 0: do not
  int32_t plain = 0;      // 1: sum those of scale 1 too
  int32_t token_id = -1;  // tell its logit; -1: of none
};

struct LogitSummary {
  int32_t bad_id = -1;  // the first logit that is NaN or +infinity; -1: none. If there is one, this
  float bad_logit = 0;  // is all that is said.
  float token_logit = 0;
  // The kMaxLikeliest largest above -infinity, or as many as there are: the largest first, of equal
  // ones the lowest id. -1: too many are equal to say.
  int32_t num_likeliest = 0;
  LikelyToken likeliest[kMaxLikeliest];
};

}  // namespace layercake
