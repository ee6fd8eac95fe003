#pragma once

// Which tokens may be drawn, and the draw: passes over a whole vocabulary's logits in place,
// without sorting it and without a second array. A dropped token's logit becomes -infinity; those
// that stay keep theirs.

#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/function_ref.h"
#include "worker/kernels/logit_summary.h"

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

// Of logits before which the sum is `running`: where it passes `goal`; the last of some weight
// where rounding leaves it short. At most kLogitStrip logits.
int32_t DrawBeyond(std::span<const float> logits, const Softmax& softmax, double running,
                   double goal);

// The three filters (top_k 0, min_p 0, top_p 1: not used) and the draw together, by way of a short
// list of the likeliest tokens: several times faster than one after another, and the same
// distribution. Nothing where the list turns out to be too short to say. `logits` stay as they are.
std::optional<int32_t> DrawFromLikeliest(std::span<const float> logits, const Softmax& softmax,
                                         int64_t top_k, float min_p, double top_p, double uniform);

// The same, given the list: the kMaxLikeliest likeliest above -infinity, in order, or as many as
// there are, at least one.
//   total: of all weights.
std::optional<int32_t> DrawFromLikeliest(std::span<const LikelyToken> likeliest,
                                         absl::FunctionRef<double()> total, const Softmax& softmax,
                                         int64_t top_k, float min_p, double top_p, double uniform);

}  // namespace layercake
