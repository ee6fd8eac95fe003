#include "worker/kernels/step_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/status_macros.h"
#include "worker/device/cuda_device.h"

namespace layercake {
namespace {

constexpr int64_t kTileWords = sizeof(AttentionTile) / sizeof(int32_t);

// To 1, 2, 3, 4, 6, 8, 12, ... chunks: blocks for those that are not there end at once, and cost
// less than a shape of steps for every length would.
int64_t RoundUpChunks(int64_t positions) {
  const int64_t chunks = (positions + kAttentionChunk - 1) / kAttentionChunk;
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(chunks)));
  for (const int64_t rounded : {power, power + power / 2}) {
    if (rounded >= chunks) return rounded * kAttentionChunk;
  }
  return 2 * power * kAttentionChunk;
}

}  // namespace

absl::StatusOr<StepTable> StepTable::Create(const StageLimits& limits, int64_t heads_per_kv_head,
                                            Device& device) {
  StepTable table;
  table.max_tiles_ = limits.max_step_tokens;
  table.max_positions_ = limits.max_context_tokens;
  LC_ASSIGN_OR_RETURN(table.buffer_, device.Allocate(StepTableBytes(limits), "the workspace"));
  if (device.kind() == DeviceKind::kCuda) {
    const bool tensor_cores = AsCuda(device).tier().tensor_cores;
    table.tile_tokens_ = std::max<int64_t>(
        1, (tensor_cores ? kTensorTileRows : kAttentionTileRows) / heads_per_kv_head);
    table.host_.reserve(table.buffer_.bytes() / sizeof(int32_t));
  }
  return table;
}

absl::StatusOr<StepView> StepTable::Set(std::span<const SliceView> slices, Device& device) {
  StepView view(slices);
  if (device.kind() != DeviceKind::kCuda) return view;
  host_.resize(max_tiles_ * kTileWords);
  on_device_ = {.tiles = buffer_.As<AttentionTile>(),
                .blocks = buffer_.As<int32_t>() + max_tiles_ * kTileWords};
  int64_t row = 0, num_blocks = 0;
  for (const SliceView& slice : slices) {
    for (int64_t token = 0; token < slice.num_tokens; token += tile_tokens_) {
      const AttentionTile tile = {
          static_cast<int32_t>(row + token),
          static_cast<int32_t>(std::min(tile_tokens_, slice.num_tokens - token)),
          static_cast<int32_t>(slice.position + token), static_cast<int32_t>(num_blocks)};
      std::memcpy(&host_[on_device_.num_tiles++ * kTileWords], &tile, sizeof(tile));
      on_device_.tile_tokens = std::max(on_device_.tile_tokens, tile.num_tokens);
    }
    host_.insert(host_.end(), slice.block_ids.begin(), slice.block_ids.end());
    on_device_.num_positions =
        std::max(on_device_.num_positions, static_cast<int32_t>(slice.position + slice.num_tokens));
    row += slice.num_tokens;
    num_blocks += static_cast<int64_t>(slice.block_ids.size());
  }
  if (row == static_cast<int64_t>(slices.size())) {
    const int64_t most = std::min(RoundUpChunks(on_device_.num_positions), max_positions_);
    on_device_.num_positions = std::max(on_device_.num_positions, static_cast<int32_t>(most));
  }
  const int64_t words = static_cast<int64_t>(host_.size());
  const TensorView to = {buffer_.data(), DType::kF32, 1, words, words};
  LC_RETURN_IF_ERROR(device.CopyFromHost(to, host_.data(), words * sizeof(int32_t)));
  view.on_device = &on_device_;
  return view;
}

}  // namespace layercake
