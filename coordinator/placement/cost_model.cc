#include "coordinator/placement/cost_model.h"

#include <algorithm>

#include "common/base/logging.h"

namespace layercake {
namespace {

// Handing a step to a stage and its activations to the next, whatever the model: what makes one
// stage better than two equally fast ones.
constexpr double kStageOverheadSeconds = 100e-6;

int64_t DivideUp(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

}  // namespace

DeviceSpeed SpeedOf(const v1::Device& device, const v1::DeviceProfile& profile) {
  const bool cuda = device.kind() == v1::DEVICE_KIND_CUDA;
  DeviceSpeed speed{.bytes_per_second = cuda ? 200e9 : 10e9,
                    .flops_per_second = cuda ? 5e12 : 1e11};
  if (profile.bandwidth_bytes_per_second() > 0) {
    speed.bytes_per_second = profile.bandwidth_bytes_per_second();
  }
  if (profile.flops_per_second() > 0) speed.flops_per_second = profile.flops_per_second();
  return speed;
}

CostModel::CostModel(const ModelConfig& model, const StageLimits& limits)
    : model_(model),
      limits_(limits),
      layer_weight_bytes_(LayerWeightBytes(model)),
      embedding_weight_bytes_(EmbeddingWeightBytes(model)),
      head_weight_bytes_(HeadWeightBytes(model)),
      layer_block_bytes_(LayerBlockBytes(model, limits)),
      layer_flops_(LayerFlops(model)),
      head_flops_(HeadFlops(model)),
      context_blocks_(DivideUp(limits.max_context_tokens, limits.block_size_tokens)),
      sequence_blocks_(DivideUp(std::min(limits.max_context_tokens, kPlanningContextTokens),
                                limits.block_size_tokens)) {
  CHECK_GT(limits.max_context_tokens, 0);
}

LayerRange CostModel::RangeOf(int first, int count) const {
  return {.first_layer = first,
          .num_layers = count,
          .has_embedding = first == 0,
          .has_head = first + count == num_layers()};
}

int64_t CostModel::WeightBytes(int first, int count) const {
  return layer_weight_bytes_ * count + (first == 0 ? embedding_weight_bytes_ : 0) +
         (first + count == num_layers() ? head_weight_bytes_ : 0);
}

int64_t CostModel::WorkspaceBytes(int first, int count) const {
  return layercake::WorkspaceBytes(model_, RangeOf(first, count), limits_);
}

int64_t CostModel::BlockBytes(int /*first*/, int count) const { return layer_block_bytes_ * count; }

double CostModel::DecodeSeconds(const DeviceSpeed& speed, int first, int count,
                                int64_t sequences) const {
  const bool has_head = first + count == num_layers();
  const double streamed = static_cast<double>(layer_weight_bytes_ * count) +
                          static_cast<double>(has_head ? head_weight_bytes_ : 0);
  const double flops =
      static_cast<double>(sequences) * (layer_flops_ * count + (has_head ? head_flops_ : 0));
  const double kv = static_cast<double>(sequences * sequence_blocks_) *
                    static_cast<double>(BlockBytes(first, count));
  return kStageOverheadSeconds +
         std::max(streamed / speed.bytes_per_second, flops / speed.flops_per_second) +
         kv / speed.bytes_per_second;
}

double CostModel::PrefillSeconds(const DeviceSpeed& speed, int first, int count) const {
  const bool has_head = first + count == num_layers();
  const double streamed = static_cast<double>(layer_weight_bytes_ * count) +
                          static_cast<double>(has_head ? head_weight_bytes_ : 0);
  const double flops = static_cast<double>(limits_.max_step_tokens) * layer_flops_ * count +
                       (has_head ? head_flops_ : 0);
  return kStageOverheadSeconds +
         std::max(streamed / speed.bytes_per_second, flops / speed.flops_per_second);
}

}  // namespace layercake
