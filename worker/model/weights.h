#pragma once

// A stage's weights, packed.

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/model/checkpoint.h"
#include "common/model/costs.h"
#include "worker/device/device.h"
#include "worker/kernels/packed_matrix.h"

namespace layercake {

// Biases are f32, padded with zeros to whole panels; empty where the model has none.
struct Linear {
  PackedMatrix matrix;
  Buffer bias;
};

struct LayerWeights {
  Buffer attention_norm;  // [hidden_dim] f32
  Linear qkv;             // [(num_heads + 2 num_kv_heads) * head_dim, hidden_dim]
  Buffer q_norm, k_norm;  // [head_dim] f32, for every head; empty where the model has none
  Linear output;          // [hidden_dim, num_heads * head_dim]
  Buffer mlp_norm;        // [hidden_dim] f32
  // In a layer of experts both are of all of them, as MatMulExperts takes it; widths are
  // expert_dim.
  Linear gate_up;       // [2 intermediate_dim, hidden_dim], gates first
  Linear down;          // [hidden_dim, intermediate_dim]
  PackedMatrix router;  // [num_experts, hidden_dim]; empty in a dense layer
};

struct StageWeights {
  Buffer embedding;  // [vocab_size, hidden_dim] of the config's dtype; empty without it
  std::vector<LayerWeights> layers;
  Buffer final_norm;  // [hidden_dim] f32; empty without the head
  PackedMatrix head;  // [vocab_size, hidden_dim]
  int64_t bytes = 0;
};

// Called as weights are packed; returning false abandons the load.
using LoadProgress = absl::FunctionRef<bool(int64_t loaded_bytes, int64_t total_bytes)>;

// Reads and packs the range's tensors, dropping their pages as it goes; takes exactly
// StageWeightBytes() bytes. Errors: as Decoder::Load. REQUIRES: the range is within the model.
absl::StatusOr<StageWeights> LoadStageWeights(const Checkpoint& checkpoint, const LayerRange& range,
                                              Device& device, LoadProgress progress);

}  // namespace layercake
