// Attention's CUDA kernels, emulated or on a card, against a reference summed in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "tests/testing/attention_preparation.h"
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

constexpr Heads kHeads[] = {{4, 2, 16}, {3, 3, 10},  {7, 1, 24},  {20, 1, 8},  {2, 1, 130},
                            {8, 2, 64}, {2, 2, 128}, {3, 1, 80},  {14, 2, 96}, {2, 1, 256},
                            {70, 1, 8}, {4, 1, 200}, {16, 1, 40}, {1, 1, 112}};

// One sequence's queries, keys and values.
struct Sequence {
  Sequence(RandomInput& random, Heads heads, int64_t length, DType kv_dtype)
      : heads(heads),
        length(length),
        q(random.Normal(length * heads.q_cols())),
        k(random.Normal(length * heads.kv_cols(), kv_dtype)),
        v(random.Normal(length * heads.kv_cols(), kv_dtype)) {}

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
};

// Block ids in no order.
std::vector<int32_t> Shuffled(RandomInput& random, int64_t num_blocks) {
  std::vector<int32_t> blocks(num_blocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  for (int64_t i = num_blocks; i > 1; --i) std::swap(blocks[i - 1], blocks[random.Below(i)]);
  return blocks;
}

constexpr int64_t kContext = 640;

// How a sequence is run.
struct Way {
  int64_t chunk;  // tokens of a slice, at most
  bool with_scratch = false;
  int64_t block_size = 16;
};

// Without tensor cores and with them.
class CudaAttentionTest : public ::testing::TestWithParam<int> {
 protected:
  CudaAttentionTest() : device_(TestCard(GetParam())) { ShuffleThreads(random_.Bits()); }

  // Keys and values, all NaN at first, so that a read of what was never written shows; and room.
  struct Memory {
    Memory(const Heads& heads, DType dtype, int64_t num_blocks, int64_t block_size, Device& device)
        : numbers(num_blocks * block_size * heads.kv_cols()),
          buffer(Upload(device, std::vector<float>(2 * numbers, std::bit_cast<float>(~0u)))),
          kv({{dtype, num_blocks, block_size, heads.num_kv_heads, heads.head_dim},
              buffer.data(),
              buffer.As<float>() + numbers}) {
      StageLimits limits;
      limits.max_step_tokens = limits.max_context_tokens = 4 * kContext;
      limits.max_batch_sequences = 8;
      limits.block_size_tokens = block_size;
      auto made = StepTable::Create(limits, heads.num_heads / heads.num_kv_heads, device);
      CHECK(made.ok()) << made.status();
      table = *std::move(made);
    }
    int64_t numbers;
    Buffer buffer;
    KvLayer kv;
    StepTable table;
  };
  struct Part {
    const Sequence* sequence;
    SliceView slice;
  };

  // Results of the parts' tokens, one after another. `q_factor` changes queries, but not scores.
  std::vector<float> Step(const std::vector<Part>& parts, bool with_scratch, Memory& memory,
                          float q_factor = 1) {
    const Heads& heads = parts[0].sequence->heads;
    std::vector<float> rows;
    std::vector<SliceView> slices;
    for (const auto& [sequence, slice] : parts) {
      const auto add = [&](const std::vector<float>& from, int64_t row, int64_t cols,
                           float factor) {
        for (int64_t i = row * cols; i < (row + 1) * cols; ++i) rows.push_back(from[i] * factor);
      };
      for (int64_t row = slice.position; row < slice.position + slice.num_tokens; ++row) {
        add(sequence->q, row, heads.q_cols(), q_factor);
        add(sequence->k, row, heads.kv_cols(), 1);
        add(sequence->v, row, heads.kv_cols(), 1);
      }
      slices.push_back(slice);
    }
    const int64_t cols = heads.q_cols() + 2 * heads.kv_cols();
    const int64_t num_rows = static_cast<int64_t>(rows.size()) / cols;
    const Buffer qkv = Upload(*device_, rows);
    const Buffer angles = Upload(*device_, NoAngles(num_rows, heads.head_dim));
    const Buffer out = Upload(*device_, std::vector<float>(num_rows * heads.q_cols()));
    const int64_t scratch_floats =
        std::min(num_rows * heads.num_heads * 6 * (heads.head_dim + 2), int64_t{1} << 20);
    const Buffer scratch = Upload(*device_, std::vector<float>(scratch_floats, NAN));
    auto step = memory.table.Set(slices, *device_);
    CHECK(step.ok()) << step.status();
    if (with_scratch) {
      step->scratch = scratch.As<float>();
      step->scratch_floats = scratch_floats;
    }
    const TensorView view = F32View(qkv.As<float>(), num_rows, cols);
    PrepareAttention(view, HeadNorms(), F32View(angles.As<float>(), num_rows, heads.head_dim),
                     *step, memory.kv, *device_);
    PagedAttention(view.Columns(0, heads.q_cols()), *step, memory.kv,
                   1 / std::sqrt(static_cast<float>(heads.head_dim)) / q_factor,
                   F32View(out.As<float>(), num_rows, heads.q_cols()), *device_);
    return Download(*device_, out, num_rows * heads.q_cols());
  }

  // Every token's result, the sequence alone.
  std::vector<float> Run(const Sequence& s, DType dtype, const Way& way, float q_factor = 1) {
    const int64_t num_blocks = kContext / way.block_size;
    Memory memory(s.heads, dtype, num_blocks, way.block_size, *device_);
    const auto blocks = Shuffled(random_, num_blocks);
    std::vector<float> all;
    for (int64_t p = 0; p < s.length; p += way.chunk) {
      const int64_t count = std::min(way.chunk, s.length - p);
      const auto out = Step({{&s, {p, count, blocks}}}, way.with_scratch, memory, q_factor);
      all.insert(all.end(), out.begin(), out.end());
    }
    return all;
  }

  RandomInput random_;
  std::unique_ptr<Device> device_;
};

INSTANTIATE_TEST_SUITE_P(Tiers, CudaAttentionTest, ::testing::Values(61, 80),
                         ::testing::PrintToStringParamName());

TEST_P(CudaAttentionTest, HeadsAreNormalisedTurnedAndStored) {
  for (int seed = 0; seed < 24; ++seed) {
    const AttentionPreparation step(random_, seed);
    ASSERT_NO_FATAL_FAILURE(step.Check(step.Run(*device_))) << random_.seed() << ", step " << seed;
  }
}

TEST_P(CudaAttentionTest, MatchesDoubleForEveryHeadShape) {
  constexpr int kShapes = static_cast<int>(std::size(kHeads));
  for (int seed = 0; seed < 3 * kShapes; ++seed) {
    const Heads& heads = kHeads[seed % kShapes];
    const DType dtype = seed < 2 * kShapes ? DType::kF16 : DType::kF32;
    const Sequence s(random_, heads, 1 + random_.Below(200), dtype);
    const auto out = Run(s, dtype, {s.length, seed % 3 == 0});
    for (int i = 0; i < 40; ++i) {
      const int64_t position = i == 0 ? s.length - 1 : random_.Below(s.length);
      const int64_t head = random_.Below(heads.num_heads), d = random_.Below(heads.head_dim);
      const double expected = s.Reference(position, head, d);
      ASSERT_NEAR(out[position * heads.q_cols() + head * heads.head_dim + d], expected,
                  3e-6 * (1 + std::abs(expected)))
          << random_.seed() << ", shape " << seed << ", position " << position << ", head " << head;
    }
  }
}

TEST_P(CudaAttentionTest, BitsDoNotDependOnSlicesBlocksNorOnHowChunksAreShared) {
  for (int seed = 0; seed < 4; ++seed) {
    // One head's few tiles are divided over blocks by chunks, whatever the kernel.
    const Heads heads = seed == 0 ? Heads{1, 1, 64} : kHeads[random_.Below(std::size(kHeads))];
    const DType dtype = seed == 3 ? DType::kF32 : DType::kF16;
    const Sequence s(random_, heads, 257 + random_.Below(40), dtype);
    const auto whole = Run(s, dtype, {s.length});
    for (const Way& way : {Way{s.length, true}, Way{s.length, false, 7}, Way{100, true, 32},
                           Way{37, true, 12}, Way{3, true}, Way{41, false, 1}}) {
      ASSERT_TRUE(SameBits(Run(s, dtype, way), whole))
          << random_.seed() << ", head_dim " << heads.head_dim << ", chunk " << way.chunk
          << ", block size " << way.block_size;
    }
  }
}

// The last token comes alone, with a grid for six chunks of which it has five.
TEST_P(CudaAttentionTest, BitsDoNotDependOnHowManyChunksTheGridIsFor) {
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const Sequence s(random_, {4, 2, 16}, 513 + random_.Below(100), dtype);
    const auto whole = Run(s, dtype, {s.length});
    ASSERT_TRUE(SameBits(Run(s, dtype, {s.length - 1, true}), whole)) << random_.seed();
  }
}

TEST_P(CudaAttentionTest, StepsOfOneTokenEachAreForFewLengths) {
  StageLimits limits;
  limits.max_step_tokens = 8;
  limits.max_context_tokens = 5000;
  LC_ASSERT_OK_AND_ASSIGN(StepTable table, StepTable::Create(limits, 1, *device_));
  const std::vector<int32_t> blocks(5000 / limits.block_size_tokens + 1);
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

TEST_P(CudaAttentionTest, ATokenDecodedIsTheTokenOfAPrompt) {
  for (const Heads& heads : {Heads{8, 2, 64}, Heads{7, 1, 24}}) {
    const Sequence s(random_, heads, 140, DType::kF16);
    ASSERT_TRUE(SameBits(Run(s, DType::kF16, {1, true}), Run(s, DType::kF16, {s.length})))
        << random_.seed();
  }
}

// Of prompts, blocks of 8 tokens and multiples go through shared memory; of few rows none do.
TEST_P(CudaAttentionTest, APromptIsWhatItsShortPiecesAreInBlocksOfEverySize) {
  constexpr Heads kShapes[] = {{8, 2, 64},  {2, 2, 128}, {7, 1, 24}, {3, 1, 80},
                               {14, 2, 96}, {2, 1, 200}, {4, 1, 256}};
  constexpr int64_t kSizes[] = {8, 16, 24, 40, 64, 256, 4, 12};
  for (const Heads& heads : kShapes) {
    // At a chunk's end or beside it, or anywhere.
    const int64_t length = random_.Below(2) == 0
                               ? kAttentionChunk * (1 + random_.Below(2)) - 1 + random_.Below(3)
                               : 100 + random_.Below(300);
    const Sequence s(random_, heads, length, DType::kF16);
    const int64_t few = 16 * heads.num_kv_heads / heads.num_heads;
    const auto pieces = Run(s, DType::kF16, {few});
    for (int i = 0; i < 2; ++i) {
      const Way way = {s.length, i == 0, kSizes[random_.Below(std::size(kSizes))]};
      ASSERT_TRUE(SameBits(Run(s, DType::kF16, way), pieces))
          << random_.seed() << ", head_dim " << heads.head_dim << ", length " << length
          << ", block size " << way.block_size;
    }
  }
}

// Prompts' pieces, short ones and single tokens, in one step.
TEST_P(CudaAttentionTest, BitsDoNotDependOnWhoElseIsInTheStep) {
  constexpr int64_t kBlock = 16;
  for (const Heads& heads : {Heads{4, 2, 16}, Heads{4, 4, 64}, Heads{14, 2, 128}}) {
    std::vector<Sequence> sequences;
    std::vector<std::vector<float>> alone;
    for (const int64_t length : {1, 150, 33, 20, 280}) {
      sequences.emplace_back(random_, heads, length, DType::kF16);
      alone.push_back(Run(sequences.back(), DType::kF16, {length}));
    }
    const int64_t each = kContext / kBlock, count = static_cast<int64_t>(sequences.size());
    Memory memory(heads, DType::kF16, each * count, kBlock, *device_);
    const auto blocks = Shuffled(random_, each * count);
    std::vector<int64_t> done(count, 0);
    std::vector<std::vector<float>> together(count);
    for (bool more = true; more;) {
      std::vector<Part> parts;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t left = sequences[i].length - done[i];
        const int64_t tokens = std::min(left, 1 + random_.Below(random_.Below(3) == 0 ? 2 : 130));
        if (tokens == 0) continue;
        const std::span<const int32_t> own(blocks.data() + i * each, static_cast<size_t>(each));
        parts.push_back({&sequences[i], {done[i], tokens, own}});
      }
      const auto out = Step(parts, random_.Below(2) == 0, memory);
      int64_t row = 0;
      more = false;
      for (const Part& part : parts) {
        const int64_t i = part.sequence - sequences.data();
        const int64_t end = row + part.slice.num_tokens;
        together[i].insert(together[i].end(), out.begin() + row * heads.q_cols(),
                           out.begin() + end * heads.q_cols());
        done[i] += part.slice.num_tokens;
        row = end;
      }
      for (int64_t i = 0; i < count; ++i) more |= done[i] < sequences[i].length;
    }
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_TRUE(SameBits(together[i], alone[i])) << random_.seed() << ", sequence " << i;
    }
  }
}

TEST_P(CudaAttentionTest, QueriesMayBeOfAnySize) {
  const Sequence s(random_, {4, 2, 64}, 150, DType::kF16);
  const auto expected = Run(s, DType::kF16, {s.length});
  for (const int exponent : {-60, -30, 30, 60}) {
    EXPECT_TRUE(SameBits(Run(s, DType::kF16, {s.length}, std::ldexp(1.0f, exponent)), expected))
        << random_.seed() << ", 2^" << exponent;
  }
}

// Nor to others at all: an infinite query, or one that is not a number, is its own row's affair.
TEST_P(CudaAttentionTest, LaterInfinitiesDoNotReachEarlierTokens) {
  for (const Heads& heads : {Heads{2, 1, 16}, Heads{8, 1, 128}, Heads{2, 1, 256}}) {
    const int64_t last = 37 * heads.q_cols();
    Sequence s(random_, heads, 40, DType::kF16);
    const auto before = Run(s, DType::kF16, {40});
    s.v[37 * heads.kv_cols() + 3] = 1e9f;
    s.v[38 * heads.kv_cols() + 5] = NAN;
    s.k[39 * heads.kv_cols()] = -1e9f;
    s.q[39 * heads.q_cols()] = INFINITY;
    const auto after = Run(s, DType::kF16, {40});
    EXPECT_TRUE(
        SameBits({before.begin(), before.begin() + last}, {after.begin(), after.begin() + last}))
        << random_.seed();
    for (int64_t d = 0; d < 5; ++d) EXPECT_EQ(std::isfinite(after[last + d]), d != 3);
    EXPECT_TRUE(SameBits(Run(s, DType::kF16, {1}), after)) << random_.seed();
  }
}

}  // namespace
}  // namespace layercake
