#pragma once

// What a stage costs in bytes and operations: one arithmetic for the planner that promises it and
// the worker that allocates it.

#include <cstdint>

#include "common/model/config.h"
#include "common/model/packing.h"

namespace layercake {

int64_t PackedMatrixBytes(int64_t outputs, int64_t inputs, DType dtype);
// Panels as above of `bits` per weight, a scale per group, a zero as wide as a weight beside it and
// an input's number (i32) per row of weights where the format has them.
int64_t QuantizedMatrixBytes(int64_t outputs, int64_t inputs, const Quantization& quantization);

// The limits a stage is sized for.
struct StageLimits {
  int64_t max_step_tokens = 256;
  int64_t max_batch_sequences = 16;
  int64_t max_context_tokens = 0;
  int64_t block_size_tokens = 16;
  DType kv_dtype = DType::kF32;          // kF32 or kF16
  DType activation_dtype = DType::kF32;  // on the way to the next stage
};

struct LayerRange {
  int64_t first_layer = 0;
  int64_t num_layers = 0;
  bool has_embedding = false;
  bool has_head = false;
};

// Packed weight bytes of one decoder layer, its experts included; of those experts alone; of the
// embedding table; of final norm and output head. A tied table costs both ends, once on each: as
// rows to look up and as a packed matrix. Where `config` has tensor_bytes, they are what is said.
int64_t LayerWeightBytes(const ModelConfig& config, int64_t layer);
int64_t LayerExpertBytes(const ModelConfig& config, int64_t layer);
int64_t EmbeddingWeightBytes(const ModelConfig& config);
int64_t HeadWeightBytes(const ModelConfig& config);
int64_t StageWeightBytes(const ModelConfig& config, const LayerRange& range);

// Share of a layer's experts that a step of `num_tokens` tokens needs, were each token's drawn
// evenly: 1 - (1 - experts_per_token / num_experts)^num_tokens. 1 without experts.
double ExpertShareRead(const ModelConfig& config, int64_t num_tokens);

// Bytes of one block of KV on one layer: [block_size_tokens] keys and values of every kv head, or
// compressed vectors of latent attention.
int64_t LayerBlockBytes(const ModelConfig& config, const StageLimits& limits);

// A step's slices as kernels read them: see worker/kernels/step_table.h.
int64_t StepTableBytes(const StageLimits& limits);

// Which experts a step of `tokens` tokens goes to: see worker/kernels/experts.h. 0 without experts.
int64_t RoutesBytes(const ModelConfig& config, int64_t tokens);

// f32 numbers of the feed-forward part of the layers, the largest's: both halves of the gated
// product; with experts a row for each that a token goes to, halves and outputs, routing scores and
// RoutesBytes.
int64_t FeedForwardBytes(const ModelConfig& config, const LayerRange& range, int64_t tokens);

// What products of integers take for themselves (worker/kernels/matmul.h): as much as any layer's
// or the head's may need, whatever the range. 0 where no weights are quantized.
int64_t ProductScratchBytes(const ModelConfig& config, const StageLimits& limits);

// What a stage computes in: the slices' table, activations, attention and product scratch and, with
// the head, logits of one step.
int64_t WorkspaceBytes(const ModelConfig& config, const LayerRange& range,
                       const StageLimits& limits);

// Activations on their way from and to the neighbouring stages over gRPC, of two steps at each end:
// see worker/transport/activation_link.h. ActivationBytes: of one step.
int64_t ActivationBytes(const ModelConfig& config, const StageLimits& limits);
int64_t LinkBytes(const ModelConfig& config, const LayerRange& range, const StageLimits& limits);

// What a plan leaves alone of a device that has so much to give: at most a tenth. On a GPU that is
// for what no plan counts: kernels' code and stacks, which CUDA loads at their first run, what its
// driver rounds buffers up by, and CUDA graphs, which keep to GraphBytes of it. (A context and
// page-locked memory are not of what a worker has to give.)
int64_t ReserveBytes(bool gpu, int64_t available_bytes);
int64_t GraphBytes(int64_t available_bytes);

// Multiply-adds times two for one token through one layer (attention over the context not
// counted, experts as many as one token takes) and through the head.
double LayerFlops(const ModelConfig& config, int64_t layer);
double LayerExpertFlops(const ModelConfig& config, int64_t layer);  // the experts' part of it
double HeadFlops(const ModelConfig& config);

// Weights of the whole model as its authors count them, a tied table once; and of those, what one
// token passes.
double NumParameters(const ModelConfig& config);
double NumActiveParameters(const ModelConfig& config);

}  // namespace layercake
