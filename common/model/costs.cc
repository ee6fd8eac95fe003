#include "common/model/costs.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/model/layer_shape.h"

namespace layercake {
namespace {

constexpr int64_t kF32Bytes = 4;
constexpr int64_t kInputNumberBytes = 4;

int64_t DivideUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

int64_t F32Bytes(int64_t rows, int64_t cols) { return AllocatedBytes(rows * cols * kF32Bytes); }

// Kernels read biases a panel at a time.
int64_t BiasBytes(int64_t outputs) { return PaddedOutputs(outputs) * kF32Bytes; }

int64_t MatrixBytes(const ModelConfig& config, int64_t layer, const MatrixShape& matrix) {
  const int64_t bytes =
      IsQuantized(config, layer, matrix)
          ? QuantizedMatrixBytes(matrix.outputs, matrix.inputs, *config.quantization)
          : PackedMatrixBytes(matrix.outputs, matrix.inputs, config.dtype);
  return bytes + (matrix.bias ? BiasBytes(matrix.outputs) : 0);
}

double Weights(const std::vector<MatrixShape>& matrices) {
  double weights = 0;
  for (const MatrixShape& matrix : matrices) {
    weights += static_cast<double>(matrix.outputs) * static_cast<double>(matrix.inputs);
  }
  return weights;
}

// Of one layer, with `experts` of its experts.
double LayerParameters(const LayerShape& shape, int64_t experts) {
  double parameters =
      Weights(shape.matrices) + static_cast<double>(experts) * Weights(shape.expert);
  for (const MatrixShape& matrix : shape.matrices) {
    if (matrix.bias) parameters += static_cast<double>(matrix.outputs);
  }
  for (const int64_t length : shape.vectors) parameters += static_cast<double>(length);
  return parameters;
}

double Parameters(const ModelConfig& config, int64_t experts) {
  const double table =
      static_cast<double>(config.vocab_size) * static_cast<double>(config.hidden_dim);
  double parameters =
      (config.tied_embeddings ? 1 : 2) * table + static_cast<double>(config.hidden_dim);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    parameters += LayerParameters(ShapeOfLayer(config, layer), experts);
  }
  return parameters;
}

// f32 numbers per token that attention takes beside the residual stream.
std::vector<int64_t> AttentionWidths(const ModelConfig& config) {
  const int64_t heads = config.num_heads;
  if (!config.latent_attention) {
    // Queries, keys and values; attention's output; a cosine and a sine per rotated pair.
    return {(heads + 2 * config.num_kv_heads) * config.head_dim, heads * config.head_dim,
            config.head_dim};
  }
  const LatentAttention& latent = *config.latent_attention;
  // Compressed queries and keys; queries; queries and outputs in the compressed space; outputs.
  return {latent.query_rank + latent.kv_rank + latent.rope_dim,
          heads * (latent.nope_dim + latent.rope_dim),
          heads * (latent.kv_rank + latent.rope_dim),
          heads * latent.kv_rank,
          heads * latent.value_dim,
          latent.rope_dim};
}

}  // namespace

int64_t PackedMatrixBytes(int64_t outputs, int64_t inputs, DType dtype) {
  return AllocatedBytes(PaddedOutputs(outputs) * inputs * DTypeBytes(dtype));
}

int64_t QuantizedMatrixBytes(int64_t outputs, int64_t inputs, const Quantization& quantization) {
  const int64_t padded = PaddedOutputs(outputs);
  const int64_t groups =
      quantization.group_inputs == 0 ? 1 : DivideUp(inputs, quantization.group_inputs);
  const int64_t scales = groups * DivideUp(padded, quantization.group_outputs);
  int64_t bytes = AllocatedBytes(padded * inputs * quantization.bits / 8) +
                  AllocatedBytes(scales * quantization.scale_bytes);
  if (quantization.zeros) bytes += AllocatedBytes(DivideUp(scales * quantization.bits, 8));
  if (quantization.act_order) bytes += AllocatedBytes(inputs * kInputNumberBytes);
  return bytes;
}

int64_t LayerWeightBytes(const ModelConfig& config, int64_t layer) {
  if (config.tensor_bytes) return config.tensor_bytes->layers[static_cast<size_t>(layer)];
  const LayerShape shape = ShapeOfLayer(config, layer);
  int64_t bytes = LayerExpertBytes(config, layer);
  for (const MatrixShape& matrix : shape.matrices) bytes += MatrixBytes(config, layer, matrix);
  for (const int64_t length : shape.vectors) bytes += F32Bytes(1, length);
  return bytes;
}

int64_t LayerExpertBytes(const ModelConfig& config, int64_t layer) {
  int64_t bytes = 0;
  for (MatrixShape matrix : ShapeOfLayer(config, layer).expert) {
    matrix.outputs = PaddedOutputs(matrix.outputs) * config.experts->num_experts;
    bytes += MatrixBytes(config, layer, matrix);
  }
  return bytes;
}

int64_t EmbeddingWeightBytes(const ModelConfig& config) {
  if (config.tensor_bytes) return config.tensor_bytes->embedding;
  return AllocatedBytes(config.vocab_size * config.hidden_dim * DTypeBytes(config.dtype));
}

int64_t HeadWeightBytes(const ModelConfig& config) {
  if (config.tensor_bytes) return config.tensor_bytes->head;
  const int64_t matrix =
      config.quantization && config.quantization->head
          ? QuantizedMatrixBytes(config.vocab_size, config.hidden_dim, *config.quantization)
          : PackedMatrixBytes(config.vocab_size, config.hidden_dim, config.dtype);
  return F32Bytes(1, config.hidden_dim) + matrix;
}

int64_t StageWeightBytes(const ModelConfig& config, const LayerRange& range) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < range.num_layers; ++i) {
    bytes += LayerWeightBytes(config, range.first_layer + i);
  }
  if (range.has_embedding) bytes += EmbeddingWeightBytes(config);
  if (range.has_head) bytes += HeadWeightBytes(config);
  return bytes;
}

double ExpertShareRead(const ModelConfig& config, int64_t num_tokens) {
  if (!config.experts) return 1;
  const double per_token = static_cast<double>(config.experts->experts_per_token) /
                           static_cast<double>(config.experts->num_experts);
  return 1 - std::pow(1 - per_token, static_cast<double>(num_tokens));
}

int64_t LayerBlockBytes(const ModelConfig& config, const StageLimits& limits) {
  const int64_t numbers = config.latent_attention
                              ? config.latent_attention->kv_rank + config.latent_attention->rope_dim
                              : 2 * config.num_kv_heads * config.head_dim;
  return AllocatedBytes(limits.block_size_tokens * numbers * DTypeBytes(limits.kv_dtype));
}

int64_t StepTableBytes(const StageLimits& limits) {
  constexpr int64_t kWordBytes = 4;
  constexpr int64_t kTileWords = 4;
  const int64_t blocks =
      DivideUp(limits.max_context_tokens, std::max<int64_t>(1, limits.block_size_tokens));
  return AllocatedBytes(
      kWordBytes * (kTileWords * limits.max_step_tokens + limits.max_batch_sequences * blocks));
}

int64_t RoutesBytes(const ModelConfig& config, int64_t tokens) {
  if (!config.experts) return 0;
  constexpr int64_t kGroupBytes = 12;
  const int64_t rows = tokens * config.experts->experts_per_token;
  return AllocatedBytes(kGroupBytes * std::min(rows, config.experts->num_experts)) +
         4 * F32Bytes(rows, 1);
}

int64_t FeedForwardBytes(const ModelConfig& config, const LayerRange& range, int64_t tokens) {
  const int64_t dense = F32Bytes(tokens, 2 * config.intermediate_dim);
  if (!config.experts) return dense;
  const MixtureOfExperts& experts = *config.experts;
  const int64_t rows = tokens * experts.experts_per_token;
  const int64_t routed = F32Bytes(rows, 2 * experts.expert_dim) +
                         F32Bytes(rows, config.hidden_dim) + F32Bytes(tokens, experts.num_experts) +
                         RoutesBytes(config, tokens) + F32Bytes(tokens, 2 * experts.shared_dim);
  int64_t bytes = 0;
  for (int64_t i = 0; i < range.num_layers; ++i) {
    bytes = std::max(bytes, HasExperts(config, range.first_layer + i) ? routed : dense);
  }
  return bytes;
}

int64_t ProductScratchBytes(const ModelConfig& config, const StageLimits& limits) {
  if (!config.quantization) return 0;
  int64_t bytes = 0;
  const auto count = [&](int64_t rows, const std::vector<MatrixShape>& matrices) {
    for (const MatrixShape& matrix : matrices) {
      if (matrix.quantizable) bytes = std::max(bytes, InputPiecesBytes(rows, matrix.inputs));
    }
  };
  // Layers are of two kinds at most.
  for (const bool has_experts : {false, true}) {
    int64_t layer = 0;
    while (layer < config.num_layers && HasExperts(config, layer) != has_experts) ++layer;
    if (layer == config.num_layers) continue;
    const LayerShape shape = ShapeOfLayer(config, layer);
    count(limits.max_step_tokens, shape.matrices);
    if (!has_experts) continue;
    count(limits.max_step_tokens * config.experts->experts_per_token, shape.expert);
  }
  if (config.quantization->head) {
    bytes = std::max(bytes, InputPiecesBytes(limits.max_batch_sequences, config.hidden_dim));
  }
  return bytes;
}

int64_t WorkspaceBytes(const ModelConfig& config, const LayerRange& range,
                       const StageLimits& limits) {
  const int64_t tokens = limits.max_step_tokens;
  // The residual stream and its normalised copy.
  int64_t bytes = 2 * F32Bytes(tokens, config.hidden_dim);
  for (const int64_t width : AttentionWidths(config)) bytes += F32Bytes(tokens, width);
  bytes += FeedForwardBytes(config, range, tokens);
  bytes += StepTableBytes(limits) + ProductScratchBytes(config, limits);
  if (range.has_head) {
    bytes += F32Bytes(limits.max_batch_sequences, config.hidden_dim);
    bytes += F32Bytes(limits.max_batch_sequences, config.vocab_size);
  }
  return bytes;
}

int64_t ActivationBytes(const ModelConfig& config, const StageLimits& limits) {
  return AllocatedBytes(limits.max_step_tokens * config.hidden_dim *
                        DTypeBytes(limits.activation_dtype));
}

int64_t LinkBytes(const ModelConfig& config, const LayerRange& range, const StageLimits& limits) {
  constexpr int64_t kStepsOnTheirWay = 2;
  const int64_t ends = (range.has_embedding ? 0 : 1) + (range.has_head ? 0 : 1);
  return ends * kStepsOnTheirWay * ActivationBytes(config, limits);
}

int64_t ReserveBytes(bool gpu, int64_t available_bytes) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  // A small cap is granted to be used.
  return std::min((gpu ? 256 : 64) * kMiB, available_bytes / 10);
}

int64_t GraphBytes(int64_t available_bytes) {
  return ReserveBytes(/*gpu=*/true, available_bytes) / 4;
}

double LayerFlops(const ModelConfig& config, int64_t layer) {
  return 2 * Weights(ShapeOfLayer(config, layer).matrices) + LayerExpertFlops(config, layer);
}

double LayerExpertFlops(const ModelConfig& config, int64_t layer) {
  if (!HasExperts(config, layer)) return 0;
  return 2 * static_cast<double>(config.experts->experts_per_token) *
         Weights(ShapeOfLayer(config, layer).expert);
}

double HeadFlops(const ModelConfig& config) {
  return 2 * static_cast<double>(config.hidden_dim) * static_cast<double>(config.vocab_size);
}

double NumParameters(const ModelConfig& config) {
  return Parameters(config, config.experts ? config.experts->num_experts : 0);
}

double NumActiveParameters(const ModelConfig& config) {
  return Parameters(config, config.experts ? config.experts->experts_per_token : 0);
}

}  // namespace layercake
