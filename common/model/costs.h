#pragma once

// What a stage costs in bytes and operations: one arithmetic for the planner that promises it and
// the worker that allocates it.

#include <cstdint>

#include "common/model/config.h"

namespace layercake {

// Matrices are packed in panels of this many outputs; the last panel is padded.
inline constexpr int64_t kPanelOutputs = 64;
// Every allocation is a multiple of this.
inline constexpr int64_t kAllocationBytes = 64;

int64_t PackedMatrixBytes(int64_t outputs, int64_t inputs, DType dtype);

// The limits a stage is sized for.
struct StageLimits {
  int64_t max_step_tokens = 256;
  int64_t max_batch_sequences = 16;
  int64_t max_context_tokens = 0;
  int64_t block_size_tokens = 16;
  DType kv_dtype = DType::kF32;  // kF32 or kF16
};

struct LayerRange {
  int64_t first_layer = 0;
  int64_t num_layers = 0;
  bool has_embedding = false;
  bool has_head = false;
};

// Packed weight bytes of one decoder layer; of the embedding table; of final norm and output head.
// A tied table costs both ends, once on each: as rows to look up and as a packed matrix.
int64_t LayerWeightBytes(const ModelConfig& config);
int64_t EmbeddingWeightBytes(const ModelConfig& config);
int64_t HeadWeightBytes(const ModelConfig& config);
int64_t StageWeightBytes(const ModelConfig& config, const LayerRange& range);

// Bytes of one block of KV on one layer: [block_size_tokens] keys and values of every kv head.
int64_t LayerBlockBytes(const ModelConfig& config, const StageLimits& limits);

// Activations, attention scratch and, with the head, logits of one step.
int64_t WorkspaceBytes(const ModelConfig& config, const LayerRange& range,
                       const StageLimits& limits);

// Multiply-adds times two for one token through one layer (attention over the context not
// counted) and through the head.
double LayerFlops(const ModelConfig& config);
double HeadFlops(const ModelConfig& config);

}  // namespace layercake
