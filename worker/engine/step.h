#pragma once

// One step of a stage, as the engine sees it.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/model/config.h"
#include "common/model/costs.h"
#include "worker/engine/sampler.h"
#include "worker/model/decoder.h"

namespace layercake {

// What is wanted of a slice besides its KV. Spans are borrowed.
struct SliceRequest {
  SliceView view;
  // The token after the last one is to be sampled.
  bool sample = false;
  SamplingSettings sampling;
  // Log-probabilities of tokens that are known: the token after each of the slice's first ones.
  std::span<const int32_t> known_next_ids;
  int32_t known_top_logprobs = 0;
};

struct StepRequest {
  uint64_t epoch = 0;
  uint64_t step_id = 0;
  std::vector<SliceRequest> slices;
  std::span<const int32_t> token_ids;  // of all slices, one after another; borrowed
};

struct SliceOutput {
  // Internal: the model's numbers for this slice are no logits (NaN); nothing else is set. The
  // other slices do not see it.
  absl::Status error;
  std::optional<SampledToken> sampled;
  std::vector<SampledToken> known;  // one per known_next_ids
};

struct StepOutput {
  uint64_t step_id = 0;
  std::vector<SliceOutput> slices;  // with the head: one per slice; else empty
  absl::Duration compute_time;
  absl::Duration wait_time;  // for the activations to come
};

// What a step may ask of a stage.
struct StepLimits {
  StageLimits stage;
  int64_t num_blocks = 0;
  int64_t vocab_size = 0;
};

// Checks all that could make the engine read or write where it must not: counts, token ids,
// positions, block ids, and that no block is written by two slices.
// Errors: InvalidArgument (names the slice and the figures).
absl::Status CheckStep(const StepRequest& step, const StepLimits& limits);

}  // namespace layercake
