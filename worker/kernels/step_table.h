#pragma once

// A step's slices, where the kernels that use them can read them.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/costs.h"
#include "worker/device/device.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/kv_layer.h"

namespace layercake {

// What attention's ops are given. Borrowed, for one step.
struct StepView {
  StepView() = default;
  // Enough for a CPU.
  StepView(std::span<const SliceView> slices) : slices(slices) {}     // NOLINT
  StepView(const std::vector<SliceView>& slices) : slices(slices) {}  // NOLINT

  int64_t num_rows() const {
    int64_t rows = 0;
    for (const SliceView& slice : slices) rows += slice.num_tokens;
    return rows;
  }

  std::span<const SliceView> slices;
  // On a CUDA device: made by StepTable::Set.
  const StepOnDevice* on_device = nullptr;
  // On a CUDA device: memory that attention may use for itself; see cuda_kernels.h.
  float* scratch = nullptr;
  int64_t scratch_floats = 0;
};

// The memory is taken on every kind of device, so that what a stage costs does not depend on it.
// One thread's at a time.
class StepTable {
 public:
  StepTable() = default;

  // For steps within `limits`, of a model whose kv heads have `heads_per_kv_head` heads each. Takes
  // StepTableBytes(limits). Errors: ResourceExhausted.
  static absl::StatusOr<StepTable> Create(const StageLimits& limits, int64_t heads_per_kv_head,
                                          Device& device);

  // The next step's slices, on their way to the device; valid until the next call. Where every
  // slice is one token, `on_device` is one of few: their number fixes all of it but num_positions,
  // and that is rounded up to 1, 2, 3, 4, 6, 8, 12, ... chunks of attention.
  // Errors: as Device::CopyFromHost. REQUIRES: they are within the limits.
  absl::StatusOr<StepView> Set(std::span<const SliceView> slices, Device& device);

  int64_t bytes() const { return buffer_.bytes(); }

 private:
  int64_t max_tiles_ = 0;
  int64_t max_positions_ = 0;
  int64_t tile_tokens_ = 1;
  Buffer buffer_;              // AttentionTile[max_tiles], then block ids
  std::vector<int32_t> host_;  // what is copied there
  StepOnDevice on_device_;
};

}  // namespace layercake
