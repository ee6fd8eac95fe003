#pragma once

// A random step on its way to attention, for tests of every kind of device: what comes out is held
// against the same in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <cstring>
#include <numeric>
#include <optional>
#include <vector>

#include "common/model/costs.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/test_card.h"
#include "worker/kernels/numbers.h"
#include "worker/kernels/prepare_attention.h"

namespace layercake {

// Angles that turn nothing, for rows whose heads are to be stored as they are.
inline std::vector<float> NoAngles(int64_t rows, int64_t head_dim) {
  std::vector<float> angles(rows * head_dim);
  for (int64_t i = 0; i < rows * head_dim; ++i) angles[i] = i % head_dim < head_dim / 2 ? 1 : 0;
  return angles;
}

class AttentionPreparation {
 public:
  // `seed` takes turns between the cache's types, and between heads with norms and without.
  AttentionPreparation(RandomInput& random, int seed)
      : group_(1 + random.Below(4)), head_dim_(2 * (1 + random.Below(seed % 4 == 0 ? 128 : 40))) {
    constexpr int64_t kBlockSizes[] = {1, 7, 16, 32};
    shape_ = {seed % 2 == 0 ? DType::kF16 : DType::kF32, /*num_blocks=*/3,
              kBlockSizes[random.Below(4)], 1 + random.Below(3), head_dim_};
    for (int64_t left = 1 + random.Below(5); left > 0; --left) {
      SliceView slice = {.position = random.Below(100),
                         .num_tokens = random.Below(2) == 0 ? 1 : 1 + random.Below(70)};
      rows_ += slice.num_tokens;
      shape_.num_blocks += BlocksOf(slice);
      slices_.push_back(slice);
    }
    blocks_.resize(shape_.num_blocks);
    std::iota(blocks_.begin(), blocks_.end(), 0);
    for (int64_t i = shape_.num_blocks; i > 1; --i) {
      std::swap(blocks_[i - 1], blocks_[random.Below(i)]);
    }
    int64_t taken = 0;
    for (SliceView& slice : slices_) {
      slice.block_ids = std::span(blocks_).subspan(taken, BlocksOf(slice));
      taken += BlocksOf(slice);
    }
    stride_ = Cols() + random.Below(5);
    qkv_ = random.Normal(rows_ * stride_);
    if (seed % 3 != 0) query_norm_ = random.Normal(head_dim_);
    if (seed % 3 == 1) key_norm_ = random.Normal(head_dim_);
    turns_ = random.Normal(rows_ * head_dim_ / 2);
    magnitude_ = seed % 2 == 0 ? 1.0f : 1.25f;  // as of rotary scaling
  }

  // All that the device made of it, where it is said what: rows without their keys, then the cache.
  std::vector<float> Run(Device& device) const {
    const Buffer qkv = Upload(device, qkv_), angles = Upload(device, Angles());
    const Buffer query_norm = Upload(device, query_norm_.value_or(std::vector<float>(1)));
    const Buffer key_norm = Upload(device, key_norm_.value_or(std::vector<float>(1)));
    const Buffer cache = Upload(device, std::vector<float>(CacheFloats(), Untouched()));
    const KvLayer kv = {shape_, cache.data(), cache.As<char>() + CacheFloats() / 2 * 4};
    StageLimits limits;
    limits.max_step_tokens = limits.max_context_tokens = 400;
    limits.block_size_tokens = shape_.block_size_tokens;
    auto table = StepTable::Create(limits, group_, device);
    CHECK(table.ok()) << table.status();
    const auto step = table->Set(slices_, device);
    CHECK(step.ok()) << step.status();
    const HeadNorms norms = {query_norm_ ? query_norm.As<float>() : nullptr,
                             key_norm_ ? key_norm.As<float>() : nullptr, kEpsilon};
    PrepareAttention(TensorView{qkv.data(), DType::kF32, rows_, Cols(), stride_}, norms,
                     F32View(angles.As<float>(), rows_, head_dim_), *step, kv, device);
    std::vector<float> out = Download(device, qkv, rows_ * stride_);
    for (int64_t i = 0; i < rows_ * stride_; ++i) {
      const int64_t column = i % stride_ - QueryCols();
      if (column >= 0 && column < KvCols()) out[i] = 0;
    }
    const std::vector<float> stored = Download(device, cache, CacheFloats());
    out.insert(out.end(), stored.begin(), stored.end());
    return out;
  }

  void Check(const std::vector<float>& out) const {
    // Of keys and values, by their place in the cache; none where nothing is to be written.
    std::vector<std::optional<Expected>> stored[2];
    for (auto& numbers : stored) numbers.resize(CacheNumbers());
    int64_t row = 0;
    for (const SliceView& slice : slices_) {
      for (int64_t token = 0; token < slice.num_tokens; ++token, ++row) {
        CheckRow(row, out);
        const int64_t position = slice.position + token, size = shape_.block_size_tokens;
        for (int64_t i = 0; i < KvCols(); ++i) {
          const int64_t dim = i % head_dim_;
          const int64_t head =
              slice.block_ids[position / size] * shape_.num_kv_heads + i / head_dim_;
          stored[0][(head * head_dim_ + dim) * size + position % size] =
              Turned(row, QueryCols() + i, key_norm_);
          stored[1][(head * size + position % size) * head_dim_ + dim] =
              Expected{qkv_[row * stride_ + QueryCols() + KvCols() + i], 0};
        }
      }
    }
    for (int64_t i = 0; i < 2 * CacheNumbers(); ++i) {
      const std::optional<Expected> expected = stored[i / CacheNumbers()][i % CacheNumbers()];
      const float actual = Stored(out, i);
      if (!expected) {
        ASSERT_TRUE(std::isnan(actual)) << "number " << i << " of the cache";
      } else {
        ASSERT_NEAR(actual, expected->value, expected->error + Rounding(expected->value))
            << "number " << i << " of the cache";
      }
    }
  }

 private:
  struct Expected {
    double value;
    double error;  // at most, before it is stored
  };

  static constexpr float kEpsilon = 1e-5f;
  // NaN in both types.
  static float Untouched() { return std::bit_cast<float>(~0u); }
  double Rounding(double value) const {
    return shape_.dtype == DType::kF16 ? 0x1.01p-11 * std::abs(value) + 0x1p-25 : 0;
  }

  int64_t BlocksOf(const SliceView& slice) const {
    const int64_t size = shape_.block_size_tokens;
    return (slice.position + slice.num_tokens + size - 1) / size;
  }
  int64_t KvCols() const { return shape_.num_kv_heads * head_dim_; }
  int64_t QueryCols() const { return group_ * KvCols(); }
  int64_t Cols() const { return QueryCols() + 2 * KvCols(); }
  int64_t CacheNumbers() const { return shape_.num_blocks * shape_.block_size_tokens * KvCols(); }
  int64_t CacheFloats() const {
    return 2 * CacheNumbers() * DTypeBytes(shape_.dtype) / static_cast<int64_t>(sizeof(float));
  }

  std::vector<float> Angles() const {
    std::vector<float> angles;
    const int64_t half = head_dim_ / 2;
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t i = 0; i < head_dim_; ++i) {
        const float turn = turns_[row * half + i % half];
        angles.push_back(magnitude_ * (i < half ? std::cos(turn) : std::sin(turn)));
      }
    }
    return angles;
  }

  // What becomes of a query's or key's number.
  Expected Turned(int64_t row, int64_t column,
                  const std::optional<std::vector<float>>& weight) const {
    const int64_t half = head_dim_ / 2, dim = column % head_dim_;
    const float* const head = &qkv_[row * stride_ + column - dim];
    double squares = 0;
    for (int64_t i = 0; i < head_dim_; ++i) squares += double{head[i]} * head[i];
    const double rms = std::sqrt(squares / static_cast<double>(head_dim_) + kEpsilon);
    const auto normed = [&](int64_t i) { return weight ? head[i] / rms * (*weight)[i] : head[i]; };
    const auto turned = std::complex<double>(normed(dim % half), normed(dim % half + half)) *
                        std::polar(double{magnitude_}, double{turns_[row * half + dim % half]});
    return {dim < half ? turned.real() : turned.imag(), 1e-6 * std::abs(turned)};
  }

  // Queries are turned; all but them and keys stay.
  void CheckRow(int64_t row, const std::vector<float>& out) const {
    for (int64_t i = 0; i < stride_; ++i) {
      const float actual = out[row * stride_ + i];
      if (i < QueryCols()) {
        const Expected expected = Turned(row, i, query_norm_);
        ASSERT_NEAR(actual, expected.value, expected.error) << "row " << row << ", column " << i;
      } else if (i >= QueryCols() + KvCols()) {
        ASSERT_EQ(actual, qkv_[row * stride_ + i]) << "row " << row << ", column " << i;
      }
    }
  }
  float Stored(const std::vector<float>& out, int64_t i) const {
    const float* const cache = &out[rows_ * stride_];
    if (shape_.dtype == DType::kF32) return cache[i];
    Half half;
    std::memcpy(&half, reinterpret_cast<const char*>(cache) + i * 2, 2);
    return ToFloat(half);
  }

  const int64_t group_, head_dim_;
  KvShape shape_;
  std::vector<SliceView> slices_;
  std::vector<int32_t> blocks_;
  int64_t rows_ = 0, stride_ = 0;
  std::vector<float> qkv_, turns_;
  std::optional<std::vector<float>> query_norm_, key_norm_;
  float magnitude_ = 1;
};

}  // namespace layercake
