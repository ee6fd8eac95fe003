#include "common/model/safetensors.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHeader[] =
    R"({"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},)"
    R"( "b": {"dtype": "BF16", "shape": [1, 3], "data_offsets": [8, 14]},)"
    R"( "ids": {"dtype": "I64", "shape": [1], "data_offsets": [14, 22]}})";

std::string WithTensor(const std::string& fields) {
  return SafetensorsFile(absl::StrCat("{\"w\": {", fields, "}}"), std::string(16, 'x'));
}

TEST(ParseSafetensorsTest, EntriesPointAtTheirBytes) {
  const std::string file = SafetensorsFile(kHeader, "01234567abcdefIIIIIIII");
  LC_ASSERT_OK_AND_ASSIGN(const SafetensorsHeader header, ParseSafetensors(file));
  ASSERT_EQ(header.tensors.size(), 2u);
  const TensorEntry& a = header.tensors.at("a");
  EXPECT_EQ(a.dtype, DType::kF32);
  EXPECT_THAT(a.shape, ElementsAre(2));
  EXPECT_EQ(a.data, "01234567");
  const TensorEntry& b = header.tensors.at("b");
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_THAT(b.shape, ElementsAre(1, 3));
  EXPECT_EQ(b.data, "abcdef");
  EXPECT_EQ(header.others.at("ids").dtype, "I64");
}

TEST(ParseSafetensorsTest, EveryTruncationIsDataLoss) {
  const std::string file = SafetensorsFile(kHeader, std::string(22, 'x'));
  EXPECT_OK(ParseSafetensors(file));
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(ParseSafetensors(absl::string_view(file).substr(0, size)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("truncated")))
        << size;
  }
}

TEST(ParseSafetensorsTest, ALyingHeaderLengthIsDataLossWithFigures) {
  std::string file = SafetensorsFile(kHeader, std::string(22, 'x'));
  const auto with_length = [&](uint64_t length) {
    std::memcpy(file.data(), &length, sizeof(length));
    return ParseSafetensors(file).status();
  };
  EXPECT_THAT(with_length(1000), StatusIs(absl::StatusCode::kDataLoss,
                                          AllOf(HasSubstr("claims 1000"), HasSubstr("follow"))));
  EXPECT_THAT(with_length(std::numeric_limits<uint64_t>::max()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("claims 18446744073709551615")));
  EXPECT_THAT(with_length(0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("JSON")));
  EXPECT_THAT(with_length(20), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("JSON")));
}

TEST(ParseSafetensorsTest, BadEntriesAreDataLossThatNamesTheTensor) {
  const struct {
    const char* fields;
    const char* words;
  } kCases[] = {
      {R"("dtype": "F32", "shape": [4], "data_offsets": [0, 17])", "ends at byte 17 of 16"},
      {R"("dtype": "F32", "shape": [4], "data_offsets": [12, 8])", "not a begin and an end"},
      {R"("dtype": "F32", "shape": [4], "data_offsets": [0])", "not a begin and an end"},
      {R"("dtype": "F32", "shape": [4], "data_offsets": [-4, 12])", "no natural number"},
      {R"("dtype": "F32", "shape": [4], "data_offsets": [0, 1e400])", "not valid JSON"},
      {R"("dtype": "F32", "shape": [4])", "data_offsets is missing"},
      {R"("dtype": "F32", "shape": [3], "data_offsets": [0, 16])", "has 16 bytes, but F32 [3]"},
      {R"("dtype": "BF16", "shape": [4], "data_offsets": [0, 16])", "has 16 bytes, but BF16 [4]"},
      {R"("dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0])",
       "another size"},
      {R"("dtype": "F32", "shape": "4", "data_offsets": [0, 16])", "shape is missing or no list"},
      {R"("dtype": "F32", "shape": [2.5], "data_offsets": [0, 16])", "no natural number"},
      {R"("dtype": 32, "shape": [4], "data_offsets": [0, 16])", "dtype is missing"},
      {R"("shape": [4], "data_offsets": [0, 16])", "dtype is missing"},
  };
  for (const auto& bad : kCases) {
    EXPECT_THAT(ParseSafetensors(WithTensor(bad.fields)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(bad.words)))
        << bad.fields;
  }
  EXPECT_THAT(ParseSafetensors(SafetensorsFile(R"({"w": 3})", "")),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("tensor w: its entry")));
}

TEST(ParseSafetensorsTest, OverlappingTensorsAreDataLoss) {
  const std::string file =
      SafetensorsFile(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},)"
                      R"( "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}})",
                      std::string(12, 'x'));
  EXPECT_THAT(ParseSafetensors(file),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("tensor b"), HasSubstr("overlap those of a"))));
}

TEST(ParseSafetensorsTest, ADTypeThatNobodyKnowsIsLeftOutNotMisread) {
  LC_ASSERT_OK_AND_ASSIGN(
      const SafetensorsHeader header,
      ParseSafetensors(WithTensor(R"("dtype": "BF17", "shape": [8], "data_offsets": [0, 16])")));
  EXPECT_TRUE(header.tensors.empty());
  EXPECT_EQ(header.others.at("w").dtype, "BF17");
}

}  // namespace
}  // namespace layercake
