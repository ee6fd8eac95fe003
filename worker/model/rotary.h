#pragma once

// The angles by which positions rotate queries and keys.

#include <cstdint>
#include <vector>

#include "common/model/config.h"

namespace layercake {

// Immutable: thread-safe.
//
// Follows transformers' modeling_rope_utils.py for every scaling type: frequencies and angles are
// rounded to f32 where it does. One difference, of "dynamic" beyond the length trained at: there a
// token's angle depends on the longest sequence that the process has seen; here on its own position
// only, as if each token had been decoded when it was the last. The same sequence then gives the
// same answer however it is cut and replayed. Sources: Su et al. 2021, arXiv:2104.09864; Peng et
// al. 2023 (YaRN), arXiv:2309.00071.
class Rotary {
 public:
  explicit Rotary(const ModelConfig& config);

  // angles: [head_dim], cosines of the head_dim / 2 frequencies, then sines.
  void FillAngles(int64_t position, float* angles) const;

  // Radians per position, for a token at `position`: [head_dim / 2].
  std::vector<float> Frequencies(int64_t position) const;

 private:
  const ModelConfig config_;
  std::vector<float> frequencies_;
  float magnitude_ = 1;  // of cosines and sines
};

}  // namespace layercake
