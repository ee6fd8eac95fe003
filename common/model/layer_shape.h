#pragma once

// What a layer is made of: the one list that bytes, operations and parameters are summed over.

#include <cstdint>
#include <string>
#include <vector>

#include "common/model/config.h"

namespace layercake {

// A matrix as it is packed; the rows of several tensors may be fused in it.
struct MatrixShape {
  // Within the layer, the first tensor fused in it: "self_attn.q_proj". Experts' have "0" for the
  // expert's number.
  std::string module;
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool bias = false;
  bool quantizable = true;
};

struct LayerShape {
  std::vector<MatrixShape> matrices;  // that every token passes
  std::vector<MatrixShape> expert;    // of one expert; empty in a dense layer. Held as one matrix
                                      // for all, each one's outputs padded to whole panels
  std::vector<int64_t> vectors;       // lengths of norms and routing biases, held as f32
};

// REQUIRES: 0 <= layer < num_layers.
LayerShape ShapeOfLayer(const ModelConfig& config, int64_t layer);

// Whether `config` has experts in that layer.
bool HasExperts(const ModelConfig& config, int64_t layer);

// Whether `shape`, of `layer`, is quantized in the checkpoint.
bool IsQuantized(const ModelConfig& config, int64_t layer, const MatrixShape& shape);

}  // namespace layercake
