#include "worker/model/quantized_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/model/safetensors.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGroup = 4;

struct Row {
  std::vector<uint8_t> integers, zeros;
  std::vector<float> scales;

  float Weight(size_t k, int64_t bits) const {
    const int zero = bits == 8 ? 128 : zeros[k / kGroup];
    return scales[k / kGroup] * static_cast<float>(integers[k] - zero);
  }
};

absl::StatusOr<Row> Round(const std::vector<float>& row, int64_t bits) {
  const auto inputs = static_cast<int64_t>(row.size());
  const TensorEntry tensor = {
      DType::kF32,
      {1, inputs},
      {reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float)}};
  const size_t groups = (row.size() + kGroup - 1) / kGroup;
  Row rounded;
  rounded.integers.resize(row.size());
  rounded.zeros.resize(bits == 4 ? groups : 0);
  std::vector<uint16_t> scales(groups);
  const auto rows = RoundedRows("w", tensor, {.bits = bits, .group_inputs = kGroup});
  LC_RETURN_IF_ERROR(rows->Read(0, rounded.integers, scales, rounded.zeros));
  rounded.scales.resize(groups);
  ConvertNumbers(scales.data(), DType::kF16, static_cast<int64_t>(groups), rounded.scales.data(),
                 DType::kF32);
  return rounded;
}

TEST(RoundedRowsTest, NoWeightIsFurtherThanHalfAStep) {
  RandomInput random;
  SCOPED_TRACE(random.seed());
  for (const int64_t bits : {4, 8}) {
    for (int i = 0; i < 200; ++i) {
      std::vector<float> row = random.Normal(1 + random.Below(30));
      // Groups on one side of zero too.
      if (random.Below(3) == 0) {
        for (float& w : row) w = std::fabs(w);
      }
      LC_ASSERT_OK_AND_ASSIGN(const Row rounded, Round(row, bits));
      for (size_t k = 0; k < row.size(); ++k) {
        // Half a step; and at the ends what the scale lost in f16, and half a step of the zero.
        const float scale = rounded.scales[k / kGroup];
        // Of small scales f16 has no more than multiples of 2^-24.
        const float lost = 256 * std::max(scale * 0x1p-11f, 0x1p-25f);
        EXPECT_NEAR(rounded.Weight(k, bits), row[k], scale * (bits == 4 ? 1 : 0.5f) + lost);
      }
    }
  }
}

TEST(RoundedRowsTest, ZerosStayZeros) {
  for (const int64_t bits : {4, 8}) {
    LC_ASSERT_OK_AND_ASSIGN(const Row rounded, Round(std::vector<float>(6, 0.0f), bits));
    for (size_t k = 0; k < 6; ++k) EXPECT_EQ(rounded.Weight(k, bits), 0);
    // So small that f16 has no scale for them.
    LC_ASSERT_OK_AND_ASSIGN(const Row tiny, Round({1e-12f, -1e-12f, 0, 0, 0, 0}, bits));
    for (size_t k = 0; k < 6; ++k) EXPECT_EQ(tiny.Weight(k, bits), 0);
  }
}

TEST(RoundedRowsTest, WeightsBeyondTheScalesRangeAreCutOff) {
  LC_ASSERT_OK_AND_ASSIGN(const Row symmetric, Round({1e30f, -1e30f, 0, 1}, 8));
  EXPECT_EQ(symmetric.Weight(0, 8), 127 * 65504.0f);
  EXPECT_EQ(symmetric.Weight(1, 8), -127 * 65504.0f);
  LC_ASSERT_OK_AND_ASSIGN(const Row from_zero, Round({1e30f, 0, 0, 1}, 4));
  EXPECT_EQ(from_zero.Weight(0, 4), 15 * 65504.0f);
  EXPECT_EQ(from_zero.Weight(1, 4), 0);
}

TEST(RoundedRowsTest, WhatIsNotFiniteIsRefused) {
  for (const float w : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    EXPECT_THAT(Round({0, w}, 4), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("row 0")));
  }
}

// A golden model to be broken.
class StoredMatrixTest : public ::testing::Test {
 protected:
  void Copy(const std::string& name) {
    const auto from = std::filesystem::path(LAYERCAKE_SOURCE_DIR) / "tests/golden/models" / name;
    for (const char* file : {"config.json", "model.safetensors"}) {
      std::filesystem::copy_file(from / file, directory_.path() + "/" + file);
    }
  }
  std::string Read(const std::string& file) const {
    std::ostringstream text;
    text << std::ifstream(directory_.path() + "/" + file, std::ios::binary).rdbuf();
    return text.str();
  }
  // Puts `word` at `index` of the integers `tensor`.
  void Break(const std::string& tensor, int64_t index, int32_t word) {
    std::string file = Read("model.safetensors");
    const auto header = ParseSafetensors(file);
    ASSERT_OK(header);
    const size_t at = header->others.at(tensor).data.data() - file.data();
    std::memcpy(&file[at + index * sizeof(word)], &word, sizeof(word));
    directory_.Write("model.safetensors", file);
  }
  auto ReadDown() {
    checkpoint_ = *Checkpoint::Open(directory_.path());
    const ModelConfig& config = checkpoint_->config();
    return ReadStoredMatrix(*checkpoint_, kDown, config.hidden_dim, config.intermediate_dim);
  }

  static constexpr char kDown[] = "model.layers.0.mlp.down_proj";
  TemporaryDirectory directory_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

TEST_F(StoredMatrixTest, GroupsMustBeWhole) {
  Copy("llama-gptq-act-order");
  LC_ASSERT_OK_AND_ASSIGN(const StoredMatrix matrix, ReadDown());
  EXPECT_EQ(matrix.order.size(), 160u);
  for (const int32_t group : {-1, 5, 1 << 30}) {
    Break(absl::StrCat(kDown, ".g_idx"), 7, group);
    EXPECT_THAT(ReadDown(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is said to be of group")));
  }
}

TEST_F(StoredMatrixTest, SymmetryThatIsNoneIsSeen) {
  Copy("qwen2-gptq-int4");
  EXPECT_OK(ReadDown());
  Break(absl::StrCat(kDown, ".qzeros"), 3, 0x77767777);
  EXPECT_THAT(ReadDown(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("symmetric")));
}

TEST_F(StoredMatrixTest, TheSecondVersionsZerosAreNotTakenForTheFirsts) {
  Copy("llama-gptq-int8-v2");
  EXPECT_OK(ReadDown());
  directory_.Write("config.json", absl::StrReplaceAll(Read("config.json"), {{"gptq_v2", "gptq"}}));
  EXPECT_THAT(ReadDown(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("symmetric")));
}

}  // namespace
}  // namespace layercake
