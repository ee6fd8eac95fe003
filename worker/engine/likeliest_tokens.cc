#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "worker/engine/token_filter.h"
#include "worker/kernels/elementwise.h"

namespace layercake {
namespace {

constexpr size_t kMost = kMaxLikeliest;

bool Likelier(const LikelyToken& a, const LikelyToken& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The `count` (at most kMost) likeliest tokens above -infinity, in order; returns how many there
// are. Candidates gather until there are twice as many; the threshold rises whenever half of them
// go, so most of a vocabulary is compared once.
size_t FindLikeliest(std::span<const float> logits, size_t count,
                     std::array<LikelyToken, 2 * kMost>& tokens) {
  size_t size = 0;
  float threshold = -std::numeric_limits<float>::infinity();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!(logits[id] > threshold)) continue;
    tokens[size++] = {logits[id], static_cast<int32_t>(id)};
    if (size < tokens.size()) continue;
    std::nth_element(tokens.begin(), tokens.begin() + count - 1, tokens.end(), Likelier);
    threshold = tokens[count - 1].logit;
    size = count;
  }
  std::sort(tokens.begin(), tokens.begin() + size, Likelier);
  return std::min(size, count);
}

}  // namespace

std::optional<int32_t> DrawFromLikeliest(std::span<const float> logits, const Softmax& softmax,
                                         int64_t top_k, float min_p, double top_p, double uniform) {
  if (top_k == 0 && min_p == 0 && top_p >= 1) return std::nullopt;
  const bool few = top_k > 0 && top_k <= static_cast<int64_t>(kMost);
  std::array<LikelyToken, 2 * kMost> tokens;
  const size_t count = FindLikeliest(logits, few ? static_cast<size_t>(top_k) : kMost, tokens);
  return DrawFromLikeliest(
      std::span<const LikelyToken>(tokens).first(count), [&] { return softmax.Total(logits); },
      softmax, top_k, min_p, top_p, uniform);
}

std::optional<int32_t> DrawFromLikeliest(std::span<const LikelyToken> likeliest,
                                         absl::FunctionRef<double()> total, const Softmax& softmax,
                                         int64_t top_k, float min_p, double top_p, double uniform) {
  if (top_k == 0 && min_p == 0 && top_p >= 1) return std::nullopt;
  const bool few = top_k > 0 && top_k <= static_cast<int64_t>(kMost);
  size_t count = few ? std::min(likeliest.size(), static_cast<size_t>(top_k)) : likeliest.size();
  // Whether all tokens that pass top-k and min-p are in the list.
  bool complete = few || count < kMost;
  std::array<float, kMost> weights;
  for (size_t i = 0; i < count; ++i) weights[i] = likeliest[i].logit;
  ExpInPlace(weights.data(), static_cast<int64_t>(count), softmax.max, softmax.scale);
  while (weights[count - 1] < min_p) {
    --count;
    complete = true;
  }
  if (!complete && (min_p > 0 || top_p >= 1 || top_k > 0)) return std::nullopt;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += weights[i];
  if (top_p < 1) {
    const double goal = top_p * (complete ? sum : total());
    size_t kept = 0;
    for (sum = 0; kept < count && sum < goal; ++kept) sum += weights[kept];
    // Sums in another order may fall short of the goal by their rounding.
    if (sum < goal && !complete) return std::nullopt;
    count = std::max<size_t>(kept, 1);
  }
  const double goal = uniform * sum;
  double running = 0;
  for (size_t i = 0; i < count; ++i) {
    running += weights[i];
    if (running > goal) return likeliest[i].id;
  }
  return likeliest[count - 1].id;
}

}  // namespace layercake
