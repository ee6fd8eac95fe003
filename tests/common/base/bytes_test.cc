#include "common/base/bytes.h"

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

TEST(BytesTest, ParsesWhatPeopleWrite) {
  const std::pair<const char*, int64_t> cases[] = {{"0", 0},
                                                   {"100B", 100},
                                                   {"1048576", 1 << 20},
                                                   {"512MiB", 512ll << 20},
                                                   {"512 mib", 512ll << 20},
                                                   {"11.5GiB", 23ll << 29},
                                                   {"6GB", 6'000'000'000},
                                                   {"3G", 3ll << 30},
                                                   {"2t", 2ll << 40}};
  for (const auto& [text, bytes] : cases) {
    LC_ASSERT_OK_AND_ASSIGN(const int64_t parsed, ParseBytes(text));
    EXPECT_EQ(parsed, bytes) << text;
  }
}

TEST(BytesTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "-1", "1.2.3", "12 parsecs", "1e5", "9999999TiB", "1GiB x"}) {
    EXPECT_THAT(ParseBytes(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("11.5GiB")))
        << text;
  }
}

TEST(BytesTest, AFractionNeedsAUnitAndADeviceMemory) {
  EXPECT_THAT(ParseBytes("11.5"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"11.5\" has no unit")));
  EXPECT_THAT(ParseMemory("11.5"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseMemory("12"), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("is 12 B, too little for a device")));
  LC_ASSERT_OK_AND_ASSIGN(const int64_t bytes, ParseMemory("1MiB"));
  EXPECT_EQ(bytes, 1 << 20);
}

TEST(BytesTest, FormatsWithThreeDigits) {
  const std::pair<int64_t, const char*> cases[] = {{0, "0 B"},
                                                   {640, "640 B"},
                                                   {1536, "1.50 KiB"},
                                                   {512ll << 20, "512 MiB"},
                                                   {23ll << 29, "11.5 GiB"},
                                                   {-(3ll << 30), "-3.00 GiB"},
                                                   {(1ll << 30) - 1, "1.00 GiB"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(FormatBytes(bytes), text);
}

}  // namespace
}  // namespace layercake
