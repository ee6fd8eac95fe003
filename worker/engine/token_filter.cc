#include "worker/engine/token_filter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/functional/function_ref.h"
#include "worker/kernels/elementwise.h"

namespace layercake {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kStrip = kLogitStrip;
constexpr size_t kLanes = 8;

using Strip = std::array<float, kStrip>;

size_t StripEnd(std::span<const float> logits, size_t begin) {
  return std::min(logits.size(), begin + kStrip);
}

// weights[i] = weight of logits[begin + i], up to the strip's end.
void FillWeights(std::span<const float> logits, const Softmax& softmax, size_t begin,
                 Strip& weights) {
  const size_t count = StripEnd(logits, begin) - begin;
  std::memcpy(weights.data(), &logits[begin], count * sizeof(float));
  ExpInPlace(weights.data(), static_cast<int64_t>(count), softmax.max, softmax.scale);
  for (size_t i = 0; i < count; ++i) weights[i] = logits[begin + i] == -kInfinity ? 0 : weights[i];
  std::fill(weights.begin() + count, weights.end(), 0.0f);
}

// In lanes, so that the compiler can keep them in vectors.
double StripSum(const Strip& weights) {
  std::array<double, kLanes> sums = {};
  for (size_t i = 0; i < kStrip; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += weights[i + lane];
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

// Larger floats have larger keys; +0 and -0 are one.
uint32_t Key(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x == 0 ? 0.0f : x);
  return bits ^ (bits >> 31 != 0 ? 0xffffffff : 0x80000000);
}

// Fills in what each logit of the strip at `begin` counts for, >= 0; 0 beyond the last logit.
using FillAmounts = absl::FunctionRef<void(size_t begin, Strip& amounts)>;

// Sums what logits count for by the digit of their key at `shift`, over the logits whose higher
// digits are those of `prefix`.
void FillBins(std::span<const float> logits, uint32_t prefix, uint32_t prefix_mask, int shift,
              FillAmounts fill_amounts, std::array<double, 2048>& bins) {
  bins.fill(0);
  const uint32_t digit_mask = shift == 0 ? 0x3ff : 0x7ff;
  Strip amounts;
  for (size_t begin = 0; begin < logits.size(); begin += kStrip) {
    fill_amounts(begin, amounts);
    for (size_t i = begin; i < StripEnd(logits, begin); ++i) {
      const uint32_t key = Key(logits[i]);
      if ((key & prefix_mask) == prefix) bins[(key >> shift) & digit_mask] += amounts[i - begin];
    }
  }
}

// Keeps logits, from the largest down, until what they count for reaches `goal` (> 0). The logit
// at which it does is found by radix: eleven, eleven, then ten bits of its key.
void KeepLargest(std::span<float> logits, double goal, FillAmounts fill_amounts) {
  uint32_t found = 0, found_mask = 0;
  double above = 0, at_found = 0;
  std::array<double, 2048> bins;
  for (const int shift : {21, 10, 0}) {
    FillBins(logits, found, found_mask, shift, fill_amounts, bins);
    // Rounding may leave all bins together short of the goal: then it is the lowest that holds any.
    uint32_t lowest = 0;
    while (bins[lowest] == 0) ++lowest;
    const uint32_t digit_mask = shift == 0 ? 0x3ff : 0x7ff;
    uint32_t bin = digit_mask;
    while (bin > lowest && above + bins[bin] < goal) above += bins[bin--];
    at_found = bins[bin];
    found |= bin << shift;
    found_mask |= digit_mask << shift;
  }
  const int64_t num_equal =
      std::count_if(logits.begin(), logits.end(), [&](float logit) { return Key(logit) == found; });
  const double each = at_found / static_cast<double>(num_equal);
  int64_t equal = std::max<int64_t>(1, static_cast<int64_t>(std::ceil((goal - above) / each)));
  for (float& logit : logits) {
    const uint32_t key = Key(logit);
    if (key > found) continue;
    if (key < found || equal-- <= 0) logit = -kInfinity;
  }
}

}  // namespace

double Softmax::Total(std::span<const float> logits) const {
  double total = 0;
  Strip weights;
  for (size_t begin = 0; begin < logits.size(); begin += kStrip) {
    FillWeights(logits, *this, begin, weights);
    total += StripSum(weights);
  }
  return total;
}

void KeepTopK(std::span<float> logits, int64_t k) {
  if (k >= static_cast<int64_t>(logits.size())) return;
  KeepLargest(logits, static_cast<double>(k), [](size_t, Strip& amounts) { amounts.fill(1); });
}

void KeepMinP(std::span<float> logits, const Softmax& softmax, float share) {
  Strip weights;
  for (size_t begin = 0; begin < logits.size(); begin += kStrip) {
    FillWeights(logits, softmax, begin, weights);
    for (size_t i = begin; i < StripEnd(logits, begin); ++i) {
      if (weights[i - begin] < share) logits[i] = -kInfinity;
    }
  }
}

void KeepTopP(std::span<float> logits, const Softmax& softmax, double share) {
  KeepLargest(logits, share * softmax.Total(logits),
              [&](size_t begin, Strip& amounts) { FillWeights(logits, softmax, begin, amounts); });
}

int32_t DrawBeyond(std::span<const float> logits, const Softmax& softmax, double running,
                   double goal) {
  Strip weights;
  FillWeights(logits, softmax, 0, weights);
  size_t last = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (weights[i] == 0) continue;
    last = i;
    running += weights[i];
    if (running > goal) break;
  }
  return static_cast<int32_t>(last);
}

int32_t Draw(std::span<const float> logits, const Softmax& softmax, double uniform) {
  const double goal = uniform * softmax.Total(logits);
  double running = 0;
  size_t last = 0;  // of the strips of some weight
  bool passed = false;
  Strip weights;
  for (size_t begin = 0; begin < logits.size(); begin += kStrip) {
    FillWeights(logits, softmax, begin, weights);
    const double sum = StripSum(weights);
    if (sum > 0) last = begin;
    passed = running + sum > goal;
    if (passed) break;
    running += sum;
  }
  const auto strip = logits.subspan(last, std::min(kStrip, logits.size() - last));
  // Rounding may leave the sum of all short of the goal: then it is the last of some weight.
  return static_cast<int32_t>(last) +
         DrawBeyond(strip, softmax, running, passed ? goal : kInfinity);
}

}  // namespace layercake
