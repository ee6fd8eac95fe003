#pragma once

// Which tokens may be drawn, and the draw: passes over a whole vocabulary's logits in place,
// without sorting it and without a second array. A dropped token's logit becomes -infinity; those
// that stay keep theirs.

#include <cstdint>
#include <optional>
#include <span>

namespace layercake {

// A token's weight is exp((logit - max) * scale), and exactly 0 for -infinity. The largest logit is
// `max` (of weight 1); scale > 0.
struct Softmax {
  float max = 0;
  float scale = 1;

  // Sum of all weights.
  double Total(std::span<const float> logits) const;
};

// Keeps the `k` largest; of equal ones the lower ids. k >= 1.
void KeepTopK(std::span<float> logits, int64_t k);

// Keeps weights of at least `share` times the largest. share in [0, 1].
void KeepMinP(std::span<float> logits, const Softmax& softmax, float share);

// Keeps the smallest set of largest weights that sums to at least `share` of their total; of equal
// ones the lower ids. At least one stays. share in (0, 1).
void KeepTopP(std::span<float> logits, const Softmax& softmax, double share);

// The token at which the running sum of weights passes `uniform` (in [0, 1)) of their total.
int32_t Draw(std::span<const float> logits, const Softmax& softmax, double uniform);

// The three filters (top_k 0, min_p 0, top_p 1: not used) and the draw together, by way of a short
// list of the likeliest tokens: several times faster than one after another, and the same
// distribution. Nothing where the list turns out to be too short to say. `logits` stay as they are.
std::optional<int32_t> DrawFromLikeliest(std::span<const float> logits, const Softmax& softmax,
                                         int64_t top_k, float min_p, double top_p, double uniform);

}  // namespace layercake
