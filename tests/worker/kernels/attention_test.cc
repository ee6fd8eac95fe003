#include "worker/kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/testing/attention_preparation.h"
#include "tests/testing/kernel_testing.h"

namespace layercake {
namespace {

struct Heads {
  int64_t num_heads, num_kv_heads, head_dim;
};

// A sequence's queries, keys and values, and what attention makes of them in double.
struct Sequence {
  Sequence(RandomInput& random, int64_t length, Heads heads, DType kv_dtype)
      : length(length),
        heads(heads),
        q(random.Normal(length * heads.num_heads * heads.head_dim)),
        k(random.Normal(length * heads.num_kv_heads * heads.head_dim, kv_dtype)),
        v(random.Normal(length * heads.num_kv_heads * heads.head_dim, kv_dtype)) {}

  std::vector<double> Reference(int64_t position, int64_t head, float scale) const {
    const int64_t dim = heads.head_dim;
    const int64_t kv_head = head / (heads.num_heads / heads.num_kv_heads);
    std::vector<double> weights(position + 1), out(dim, 0);
    for (int64_t t = 0; t <= position; ++t) {
      double dot = 0;
      for (int64_t d = 0; d < dim; ++d) {
        dot += double{q[(position * heads.num_heads + head) * dim + d]} *
               double{k[(t * heads.num_kv_heads + kv_head) * dim + d]};
      }
      weights[t] = dot * scale;
    }
    const double max = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - max);
    for (int64_t t = 0; t <= position; ++t) {
      for (int64_t d = 0; d < dim; ++d) {
        out[d] += weights[t] / sum * v[(t * heads.num_kv_heads + kv_head) * dim + d];
      }
    }
    return out;
  }

  int64_t length;
  Heads heads;
  std::vector<float> q, k, v;
};

// Runs sequences in steps of given slices over one set of blocks, all filled with NaN at first so
// that a read of what was never written shows.
class Runner {
 public:
  Runner(Heads heads, DType dtype, int64_t block_size, int64_t num_blocks, Device& device)
      : heads_(heads),
        device_(device),
        storage_(2 * num_blocks * block_size * heads.num_kv_heads * heads.head_dim, NAN) {
    kv_.shape = {dtype, num_blocks, block_size, heads.num_kv_heads, heads.head_dim};
    kv_.keys = storage_.data();
    kv_.values = storage_.data() + storage_.size() / 2;
    std::fill_n(reinterpret_cast<uint32_t*>(storage_.data()), storage_.size(), 0xffffffff);
    free_.resize(num_blocks);
    std::iota(free_.begin(), free_.end(), 0);
  }

  // Blocks for a sequence of `length`, scattered.
  std::vector<int32_t> TakeBlocks(RandomInput& random, int64_t length) {
    const int64_t size = kv_.shape.block_size_tokens;
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < (length + size - 1) / size; ++i) {
      const int64_t pick = random.Below(static_cast<int64_t>(free_.size()));
      ids.push_back(free_[pick]);
      free_.erase(free_.begin() + pick);
    }
    return ids;
  }

  struct Part {
    const Sequence* sequence;
    SliceView slice;
  };
  // Results of the parts' tokens, one after another.
  std::vector<float> Step(const std::vector<Part>& parts) {
    const int64_t q_cols = heads_.num_heads * heads_.head_dim;
    const int64_t kv_cols = heads_.num_kv_heads * heads_.head_dim;
    std::vector<float> qkv;
    std::vector<SliceView> slices;
    for (const auto& [sequence, slice] : parts) {
      for (int64_t i = slice.position; i < slice.position + slice.num_tokens; ++i) {
        qkv.insert(qkv.end(), &sequence->q[i * q_cols], &sequence->q[0] + (i + 1) * q_cols);
        qkv.insert(qkv.end(), &sequence->k[i * kv_cols], &sequence->k[0] + (i + 1) * kv_cols);
        qkv.insert(qkv.end(), &sequence->v[i * kv_cols], &sequence->v[0] + (i + 1) * kv_cols);
      }
      slices.push_back(slice);
    }
    const TensorView rows = ViewOf(qkv, q_cols + 2 * kv_cols);
    std::vector<float> angles = NoAngles(rows.rows, heads_.head_dim);
    std::vector<float> out(rows.rows * q_cols);
    PrepareAttention(rows, HeadNorms(), ViewOf(angles, heads_.head_dim), slices, kv_, device_);
    PagedAttention(rows.Columns(0, q_cols), slices, kv_, Scale(), ViewOf(out, q_cols), device_);
    return out;
  }

  // A sequence alone, in slices of at most `chunk`.
  std::vector<float> Alone(RandomInput& random, const Sequence& sequence, int64_t chunk) {
    const auto blocks = TakeBlocks(random, sequence.length);
    std::vector<float> all;
    for (int64_t p = 0; p < sequence.length; p += chunk) {
      const int64_t count = std::min(chunk, sequence.length - p);
      const std::vector<float> out = Step({{&sequence, {p, count, blocks}}});
      all.insert(all.end(), out.begin(), out.end());
    }
    return all;
  }

  float Scale() const { return 1 / std::sqrt(static_cast<float>(heads_.head_dim)); }

 private:
  Heads heads_;
  Device& device_;
  std::vector<float> storage_;
  KvLayer kv_;
  std::vector<int32_t> free_;
};

constexpr Heads kHeads[] = {{4, 2, 16}, {3, 3, 10}, {7, 1, 24}, {14, 2, 64}, {2, 1, 130}};

TEST(PagedAttentionTest, MatchesDoubleForEveryHeadShape) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices({2});
  for (const Heads& heads : kHeads) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      const Sequence sequence(random, 300, heads, dtype);
      std::vector<float> first;
      for (const auto& device : devices) {
        Runner runner(heads, dtype, 16, 24, *device);
        const std::vector<float> out = runner.Alone(random, sequence, 300);
        if (first.empty()) first = out;
        ASSERT_TRUE(SameBits(out, first)) << DeviceText(*device);
        for (const int64_t position : {0, 1, 15, 16, 100, 255, 256, 299}) {
          for (int64_t head = 0; head < heads.num_heads; ++head) {
            const auto expected = sequence.Reference(position, head, runner.Scale());
            for (int64_t d = 0; d < heads.head_dim; ++d) {
              const float actual = out[(position * heads.num_heads + head) * heads.head_dim + d];
              ASSERT_NEAR(actual, expected[d], 2e-6 * (1 + std::abs(expected[d])))
                  << DeviceText(*device) << ", position " << position << ", head " << head;
            }
          }
        }
      }
    }
  }
}

TEST(PagedAttentionTest, BitsDoNotDependOnDeviceChunksOrBlockSize) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const auto devices = TestDevices({4});
  for (const Heads& heads : {Heads{4, 2, 16}, Heads{3, 3, 10}, Heads{7, 1, 24}}) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      const Sequence sequence(random, 270, heads, dtype);
      std::vector<float> first;
      for (const auto& device : devices) {
        for (const int64_t block_size : {16, 1, 7, 32}) {
          for (const int64_t chunk : {270, 41, 1}) {
            if (chunk == 1 && block_size != 16) continue;
            Runner runner(heads, dtype, block_size, 540 / block_size, *device);
            const std::vector<float> out = runner.Alone(random, sequence, chunk);
            if (first.empty()) first = out;
            ASSERT_TRUE(SameBits(out, first))
                << DeviceText(*device) << ", block size " << block_size << ", chunk " << chunk;
          }
        }
      }
    }
  }
}

TEST(PagedAttentionTest, BitsDoNotDependOnWhoElseIsInTheStep) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const Heads heads = {6, 2, 20};
  for (const auto& device : TestDevices()) {
    std::vector<Sequence> sequences;
    for (const int64_t length : {1, 30, 64, 290}) {
      sequences.emplace_back(random, length, heads, DType::kF32);
    }
    Runner together(heads, DType::kF32, 16, 60, *device);
    std::vector<std::vector<int32_t>> blocks;
    std::vector<std::vector<float>> results(sequences.size());
    std::vector<int64_t> done(sequences.size(), 0);
    for (const Sequence& s : sequences) blocks.push_back(together.TakeBlocks(random, s.length));
    while (true) {
      std::vector<Runner::Part> parts;
      std::vector<size_t> who;
      for (size_t i = 0; i < sequences.size(); ++i) {
        const int64_t left = sequences[i].length - done[i];
        if (left == 0) continue;
        const int64_t count = std::min(left, 1 + random.Below(40));
        parts.push_back({&sequences[i], {done[i], count, blocks[i]}});
        who.push_back(i);
      }
      if (parts.empty()) break;
      const std::vector<float> out = together.Step(parts);
      auto next = out.begin();
      for (size_t j = 0; j < parts.size(); ++j) {
        const int64_t count = parts[j].slice.num_tokens;
        results[who[j]].insert(results[who[j]].end(), next, next + count * 120);
        next += count * 120;
        done[who[j]] += count;
      }
    }
    for (size_t i = 0; i < sequences.size(); ++i) {
      Runner alone(heads, DType::kF32, 16, 60, *device);
      EXPECT_TRUE(SameBits(results[i], alone.Alone(random, sequences[i], 1000))) << i;
    }
  }
}

// Values too large for the cache's type must spoil only the tokens that attend to them.
TEST(PagedAttentionTest, LaterInfinitiesDoNotReachEarlierTokens) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  const Heads heads = {2, 1, 16};
  for (const auto& device : TestDevices({1})) {
    Sequence sequence(random, 40, heads, DType::kF16);
    Runner clean(heads, DType::kF16, 16, 3, *device), spoilt(heads, DType::kF16, 16, 3, *device);
    const std::vector<float> before = clean.Alone(random, sequence, 40);
    std::fill_n(&sequence.v[37 * 16], 16, 1e9f);
    const std::vector<float> after = spoilt.Alone(random, sequence, 40);
    EXPECT_TRUE(SameBits({before.begin(), before.begin() + 37 * 32},
                         {after.begin(), after.begin() + 37 * 32}));
    EXPECT_FALSE(std::isfinite(after[37 * 32]));
  }
}

}  // namespace
}  // namespace layercake
