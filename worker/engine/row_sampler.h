#pragma once

// Draws and scores tokens where the logits are: from the rows themselves on a CPU, elsewhere from
// what the device tells of them, and from copies of those rows that take more.

#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/device.h"
#include "worker/engine/sampler.h"

namespace layercake {

// What is wanted of a row of logits.
struct RowRequest {
  const SamplingSettings* sampling = nullptr;  // null: nothing is drawn
  int64_t position = 0;                        // of the token to draw
  std::optional<int32_t> known_id;             // to score
  int32_t known_top_logprobs = 0;
};

struct RowResult {
  absl::Status status;  // as Sample and Score have it
  SampledToken sampled;
  SampledToken known;
};

// One thread's at a time.
class RowSampler {
 public:
  RowSampler() = default;

  // Takes memory of the host for `max_rows` rows, where the device's is not the host's.
  // Errors: ResourceExhausted.
  static absl::StatusOr<RowSampler> Create(int64_t max_rows, int64_t vocab_size, Device& device);

  // The same tokens to the bit, whatever the device. Takes all the device's threads.
  //   logits: [requests.size(), vocab_size] f32, on the device; their contents are lost.
  //   results: as many.
  // Errors: the device's.
  absl::Status Run(const TensorView& logits, std::span<const RowRequest> requests,
                   std::span<RowResult> results, Device& device);

 private:
  absl::Status RunSummarized(const TensorView& logits, std::span<const RowRequest> asked,
                             std::span<RowResult> results, Device& device);

  int64_t vocab_size_ = 0;
  // Of the rows: what is asked of them, and told; and copies, before which it holds changes.
  Buffer queries_;
  Buffer summaries_;
  Buffer sums_;
  Buffer copies_;
};

}  // namespace layercake
