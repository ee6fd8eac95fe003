#include "coordinator/placement/cost_model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/model/layer_shape.h"

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
      before_(static_cast<size_t>(model.num_layers) + 1),
      embedding_weight_bytes_(EmbeddingWeightBytes(model)),
      head_weight_bytes_(HeadWeightBytes(model)),
      layer_block_bytes_(LayerBlockBytes(model, limits)),
      head_flops_(layercake::HeadFlops(model)),
      context_blocks_(DivideUp(limits.max_context_tokens, limits.block_size_tokens)),
      sequence_blocks_(DivideUp(std::min(limits.max_context_tokens, kPlanningContextTokens),
                                limits.block_size_tokens)) {
  CHECK_GT(limits.max_context_tokens, 0);
  for (int64_t layer = 0; layer < model.num_layers; ++layer) {
    const Sums& before = before_[static_cast<size_t>(layer)];
    before_[static_cast<size_t>(layer) + 1] = {
        .weight_bytes = before.weight_bytes + LayerWeightBytes(model, layer),
        .expert_bytes = before.expert_bytes + LayerExpertBytes(model, layer),
        .flops = before.flops + layercake::LayerFlops(model, layer),
        .expert_layers = before.expert_layers + (HasExperts(model, layer) ? 1 : 0)};
    const int kind = HasExperts(model, layer) ? 2 : 1;
    for (const bool head : {false, true}) {
      workspace_bytes_[kind][head] =
          layercake::WorkspaceBytes(model, {layer, 1, false, head}, limits);
    }
  }
  for (const bool head : {false, true}) {
    workspace_bytes_[3][head] = std::max(workspace_bytes_[1][head], workspace_bytes_[2][head]);
  }
}

int64_t CostModel::WeightBytes(int first, int count) const {
  return before_[first + count].weight_bytes - before_[first].weight_bytes +
         (first == 0 ? embedding_weight_bytes_ : 0) +
         (HasHead(first, count) ? head_weight_bytes_ : 0);
}

double CostModel::StreamedBytes(int first, int count, int64_t num_tokens) const {
  const Sums& from = before_[first];
  const Sums& to = before_[first + count];
  const double layers = static_cast<double>(to.weight_bytes - from.weight_bytes);
  const double experts = static_cast<double>(to.expert_bytes - from.expert_bytes);
  const double head = static_cast<double>(HasHead(first, count) ? head_weight_bytes_ : 0);
  return layers - experts * (1 - ExpertShareRead(model_, num_tokens)) + head;
}

double CostModel::LayerFlops(int first, int count) const {
  return before_[first + count].flops - before_[first].flops;
}

double CostModel::HeadFlops(int first, int count) const {
  return HasHead(first, count) ? head_flops_ : 0;
}

int64_t CostModel::WorkspaceBytes(int first, int count) const {
  const int experts = before_[first + count].expert_layers - before_[first].expert_layers;
  const int kind = (experts < count ? 1 : 0) + (experts > 0 ? 2 : 0);
  return workspace_bytes_[kind][HasHead(first, count) ? 1 : 0];
}

int64_t CostModel::BlockBytes(int /*first*/, int count) const { return layer_block_bytes_ * count; }

double CostModel::DecodeSeconds(const DeviceSpeed& speed, int first, int count,
                                int64_t sequences) const {
  const double streamed = StreamedBytes(first, count, sequences);
  const double flops =
      static_cast<double>(sequences) * (LayerFlops(first, count) + HeadFlops(first, count));
  const double kv = static_cast<double>(sequences * sequence_blocks_) *
                    static_cast<double>(BlockBytes(first, count));
  return kStageOverheadSeconds +
         std::max(streamed / speed.bytes_per_second, flops / speed.flops_per_second) +
         kv / speed.bytes_per_second;
}

double CostModel::PrefillSeconds(const DeviceSpeed& speed, int first, int count) const {
  const double streamed = StreamedBytes(first, count, limits_.max_step_tokens);
  const double flops = static_cast<double>(limits_.max_step_tokens) * LayerFlops(first, count) +
                       HeadFlops(first, count);
  return kStageOverheadSeconds +
         std::max(streamed / speed.bytes_per_second, flops / speed.flops_per_second);
}

int64_t CostModel::ActivationBytes(int64_t tokens) const {
  return tokens * model_.hidden_dim * DTypeBytes(DType::kF32);
}

std::string CostModel::InWords() const {
  return absl::StrCat("A stage decodes a step of n sequences of ",
                      sequence_blocks_ * limits_.block_size_tokens, " tokens in ",
                      kStageOverheadSeconds * 1e6,
                      " us + max(weight bytes read / bandwidth, n * operations / rate) + n * KV "
                      "bytes / bandwidth, and "
                      "prefills a step of ",
                      limits_.max_step_tokens, " tokens in ", kStageOverheadSeconds * 1e6,
                      " us + max(weight bytes read / bandwidth, tokens * operations / rate); "
                      "bandwidth and rate are "
                      "those of its device.");
}

}  // namespace layercake
