#include "common/model/costs.h"

namespace layercake {
namespace {

constexpr int64_t kF32Bytes = 4;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

int64_t Allocation(int64_t bytes) { return RoundUp(bytes, kAllocationBytes); }

int64_t QkvOutputs(const ModelConfig& config) {
  return (config.num_heads + 2 * config.num_kv_heads) * config.head_dim;
}

// Kernels read biases a panel at a time.
int64_t BiasBytes(int64_t outputs) { return RoundUp(outputs, kPanelOutputs) * kF32Bytes; }

int64_t NormBytes(const ModelConfig& config) { return Allocation(config.hidden_dim * kF32Bytes); }

int64_t F32Bytes(int64_t rows, int64_t cols) { return Allocation(rows * cols * kF32Bytes); }

}  // namespace

int64_t PackedMatrixBytes(int64_t outputs, int64_t inputs, DType dtype) {
  return Allocation(RoundUp(outputs, kPanelOutputs) * inputs * DTypeBytes(dtype));
}

int64_t LayerWeightBytes(const ModelConfig& config) {
  const int64_t qkv = QkvOutputs(config);
  const int64_t heads = config.num_heads * config.head_dim;
  const int64_t hidden = config.hidden_dim;
  const int64_t intermediate = config.intermediate_dim;
  int64_t bytes = 2 * NormBytes(config);
  bytes += PackedMatrixBytes(qkv, hidden, config.dtype);
  bytes += PackedMatrixBytes(hidden, heads, config.dtype);
  bytes += PackedMatrixBytes(2 * intermediate, hidden, config.dtype);
  bytes += PackedMatrixBytes(hidden, intermediate, config.dtype);
  if (config.qkv_bias) bytes += BiasBytes(qkv);
  if (config.output_bias) bytes += BiasBytes(hidden);
  if (config.mlp_bias) bytes += BiasBytes(2 * intermediate) + BiasBytes(hidden);
  return bytes;
}

int64_t EmbeddingWeightBytes(const ModelConfig& config) {
  return Allocation(config.vocab_size * config.hidden_dim * DTypeBytes(config.dtype));
}

int64_t HeadWeightBytes(const ModelConfig& config) {
  return NormBytes(config) + PackedMatrixBytes(config.vocab_size, config.hidden_dim, config.dtype);
}

int64_t StageWeightBytes(const ModelConfig& config, const LayerRange& range) {
  int64_t bytes = range.num_layers * LayerWeightBytes(config);
  if (range.has_embedding) bytes += EmbeddingWeightBytes(config);
  if (range.has_head) bytes += HeadWeightBytes(config);
  return bytes;
}

int64_t LayerBlockBytes(const ModelConfig& config, const StageLimits& limits) {
  return Allocation(2 * limits.block_size_tokens * config.num_kv_heads * config.head_dim *
                    DTypeBytes(limits.kv_dtype));
}

int64_t WorkspaceBytes(const ModelConfig& config, const LayerRange& range,
                       const StageLimits& limits) {
  const int64_t tokens = limits.max_step_tokens;
  // The residual stream and its normalised copy; queries, keys and values; attention's output; both
  // halves of the gated product; a cosine and a sine per rotated pair.
  int64_t bytes = 2 * F32Bytes(tokens, config.hidden_dim);
  bytes += F32Bytes(tokens, QkvOutputs(config));
  bytes += F32Bytes(tokens, config.num_heads * config.head_dim);
  bytes += F32Bytes(tokens, 2 * config.intermediate_dim);
  bytes += F32Bytes(tokens, config.head_dim);
  if (range.has_head) {
    bytes += F32Bytes(limits.max_batch_sequences, config.hidden_dim);
    bytes += F32Bytes(limits.max_batch_sequences, config.vocab_size);
  }
  return bytes;
}

double LayerFlops(const ModelConfig& config) {
  const double hidden = static_cast<double>(config.hidden_dim);
  const double qkv = static_cast<double>(QkvOutputs(config));
  const double heads = static_cast<double>(config.num_heads * config.head_dim);
  const double intermediate = static_cast<double>(config.intermediate_dim);
  return 2 * hidden * (qkv + heads + 3 * intermediate);
}

double HeadFlops(const ModelConfig& config) {
  return 2 * static_cast<double>(config.hidden_dim) * static_cast<double>(config.vocab_size);
}

}  // namespace layercake
