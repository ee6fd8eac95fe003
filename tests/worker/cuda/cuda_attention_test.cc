// Attention's CUDA kernels, emulated or on a card, against a reference summed in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "tests/testing/kernel_testing.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/step_table.h"

namespace layercake {
namespace {

struct Heads {
  int64_t num_heads, num_kv_heads, head_dim;
  int64_t q_cols() const { return num_heads * head_dim; }
  int64_t kv_cols() const { return num_kv_heads * head_dim; }
};

constexpr Heads kHeads[] = {{4, 2, 16}, {3, 3, 10}, {7, 1, 24}, {20, 1, 8}, {2, 1, 130}};

// One sequence's queries, keys and values, and blocks for it that are in no order.
struct Sequence {
  Sequence(RandomInput& random, Heads heads, int64_t length, DType kv_dtype, int64_t num_blocks)
      : heads(heads),
        length(length),
        q(random.Normal(length * heads.q_cols())),
        k(random.Normal(length * heads.kv_cols(), kv_dtype)),
        v(random.Normal(length * heads.kv_cols(), kv_dtype)),
        blocks(num_blocks) {
    std::iota(blocks.begin(), blocks.end(), 0);
    for (size_t i = blocks.size(); i > 1; --i) {
      std::swap(blocks[i - 1], blocks[random.Below(static_cast<int64_t>(i))]);
    }
  }

  double Reference(int64_t position, int64_t head, int64_t d) const {
    const int64_t kv_head = head / (heads.num_heads / heads.num_kv_heads);
    std::vector<double> scores(position + 1);
    for (int64_t t = 0; t <= position; ++t) {
      for (int64_t i = 0; i < heads.head_dim; ++i) {
        scores[t] += double{q[position * heads.q_cols() + head * heads.head_dim + i]} *
                     k[t * heads.kv_cols() + kv_head * heads.head_dim + i];
      }
      scores[t] /= std::sqrt(static_cast<double>(heads.head_dim));
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    double sum = 0, out = 0;
    for (int64_t t = 0; t <= position; ++t) {
      const double weight = std::exp(scores[t] - max);
      sum += weight;
      out += weight * v[t * heads.kv_cols() + kv_head * heads.head_dim + d];
    }
    return out / sum;
  }

  Heads heads;
  int64_t length;
  std::vector<float> q, k, v;
  std::vector<int32_t> blocks;
};

constexpr int64_t kBlockSize = 16;
constexpr int64_t kBlocks = 40;

class CudaAttentionTest : public ::testing::Test {
 protected:
  CudaAttentionTest() : device_(TestCard()) { ShuffleThreads(random_.Bits()); }

  // Every token's result, the sequence taken in slices of at most `chunk`. Blocks hold NaN at
  // first, so that a read of what was never written shows.
  std::vector<float> Run(const Sequence& s, DType dtype, int64_t chunk, bool with_scratch) {
    const Heads& heads = s.heads;
    const int64_t kv_numbers = kBlocks * kBlockSize * heads.kv_cols();
    const Buffer kv_memory =
        Upload(*device_, std::vector<float>(2 * kv_numbers, std::bit_cast<float>(0xffffffff)));
    const KvLayer kv = {{dtype, kBlocks, kBlockSize, heads.num_kv_heads, heads.head_dim},
                        kv_memory.data(),
                        kv_memory.As<float>() + kv_numbers};
    StageLimits limits;
    limits.max_step_tokens = chunk;
    limits.max_context_tokens = kBlocks * kBlockSize;
    auto table = StepTable::Create(limits, heads.num_heads / heads.num_kv_heads, *device_);
    CHECK(table.ok()) << table.status();
    const int64_t scratch_floats = s.length * heads.num_heads * 3 * (heads.head_dim + 2);
    const Buffer scratch = Upload(*device_, std::vector<float>(scratch_floats, NAN));
    std::vector<float> all;
    for (int64_t p = 0; p < s.length; p += chunk) {
      const int64_t count = std::min(chunk, s.length - p);
      const auto part = [&](const std::vector<float>& values, int64_t cols) {
        return Upload(*device_, {values.begin() + p * cols, values.begin() + (p + count) * cols});
      };
      const Buffer q = part(s.q, heads.q_cols()), k = part(s.k, heads.kv_cols());
      const Buffer v = part(s.v, heads.kv_cols());
      const Buffer out = Upload(*device_, std::vector<float>(count * heads.q_cols()));
      const std::vector<SliceView> slices = {{p, count, s.blocks}};
      auto step = table->Set(slices, *device_);
      CHECK(step.ok()) << step.status();
      if (with_scratch) {
        step->scratch = scratch.As<float>();
        step->scratch_floats = scratch_floats;
      }
      StoreKv(F32View(k.As<float>(), count, heads.kv_cols()),
              F32View(v.As<float>(), count, heads.kv_cols()), *step, kv, *device_);
      PagedAttention(F32View(q.As<float>(), count, heads.q_cols()), *step, kv,
                     1 / std::sqrt(static_cast<float>(heads.head_dim)),
                     F32View(out.As<float>(), count, heads.q_cols()), *device_);
      const auto values = Download(*device_, out, count * heads.q_cols());
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
};

TEST_F(CudaAttentionTest, MatchesDoubleForEveryHeadShape) {
  for (int seed = 0; seed < 20; ++seed) {
    const Heads& heads = kHeads[seed % 5];
    const DType dtype = seed % 2 == 0 ? DType::kF32 : DType::kF16;
    const Sequence s(random_, heads, 1 + random_.Below(200), dtype, kBlocks);
    const auto out = Run(s, dtype, s.length, seed % 3 == 0);
    for (int i = 0; i < 40; ++i) {
      const int64_t position = i == 0 ? s.length - 1 : random_.Below(s.length);
      const int64_t head = random_.Below(heads.num_heads), d = random_.Below(heads.head_dim);
      const double expected = s.Reference(position, head, d);
      ASSERT_NEAR(out[position * heads.q_cols() + head * heads.head_dim + d], expected,
                  3e-6 * (1 + std::abs(expected)))
          << random_.seed() << ", position " << position << ", head " << head;
    }
  }
}

TEST_F(CudaAttentionTest, BitsDoNotDependOnSlicesNorOnHowChunksAreShared) {
  for (int seed = 0; seed < 5; ++seed) {
    const Heads& heads = kHeads[seed];
    const DType dtype = seed % 2 == 0 ? DType::kF16 : DType::kF32;
    const Sequence s(random_, heads, 257 + random_.Below(40), dtype, kBlocks);
    const auto whole = Run(s, dtype, s.length, false);
    for (const int64_t chunk : {s.length, int64_t{100}, int64_t{3}}) {
      ASSERT_TRUE(SameBits(Run(s, dtype, chunk, chunk != s.length), whole))
          << random_.seed() << ", chunk " << chunk;
    }
  }
}

// The last token comes alone, with a grid for six chunks of which it has five.
TEST_F(CudaAttentionTest, BitsDoNotDependOnHowManyChunksTheGridIsFor) {
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const Sequence s(random_, {4, 2, 16}, 513 + random_.Below(100), dtype, kBlocks);
    const auto whole = Run(s, dtype, s.length, false);
    ASSERT_TRUE(SameBits(Run(s, dtype, s.length - 1, true), whole)) << random_.seed();
  }
}

TEST_F(CudaAttentionTest, StepsOfOneTokenEachAreForFewLengths) {
  StageLimits limits;
  limits.max_step_tokens = 8;
  limits.max_context_tokens = 5000;
  LC_ASSERT_OK_AND_ASSIGN(StepTable table, StepTable::Create(limits, 1, *device_));
  const std::vector<int32_t> blocks(5000 / kBlockSize + 1);
  std::set<int32_t> lengths;
  for (int64_t position = 0; position < 5000; position += 1 + random_.Below(60)) {
    const std::vector<SliceView> two = {{position, 1, blocks}, {position / 2, 1, blocks}};
    LC_ASSERT_OK_AND_ASSIGN(StepView step, table.Set(two, *device_));
    const int32_t length = step.on_device->num_positions;
    ASSERT_GT(length, position);
    ASSERT_LE(length, std::min<int64_t>(5000, (position + kAttentionChunk) * 3 / 2));
    lengths.insert(length);
    const std::vector<SliceView> mixed = {{position, 1, blocks}, {0, 2, blocks}};
    LC_ASSERT_OK_AND_ASSIGN(step, table.Set(mixed, *device_));
    ASSERT_EQ(step.on_device->num_positions, std::max<int64_t>(2, position + 1));
  }
  EXPECT_LE(lengths.size(), 11u);
}

TEST_F(CudaAttentionTest, LaterInfinitiesDoNotReachEarlierTokens) {
  Sequence s(random_, {2, 1, 16}, 40, DType::kF16, kBlocks);
  const auto before = Run(s, DType::kF16, 40, false);
  std::fill_n(&s.v[37 * 16], 16, 1e9f);
  const auto after = Run(s, DType::kF16, 40, false);
  EXPECT_TRUE(SameBits({before.begin(), before.begin() + 37 * 32},
                       {after.begin(), after.begin() + 37 * 32}));
  EXPECT_FALSE(std::isfinite(after[37 * 32]));
}

}  // namespace
}  // namespace layercake
