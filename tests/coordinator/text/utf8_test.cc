#include "coordinator/text/utf8.h"

#include <gtest/gtest.h>

#include <random>

namespace layercake {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

TEST(Utf8Test, EveryMaximalSubpartBecomesOneReplacement) {
  const std::string r = kReplacement;
  EXPECT_EQ(ToValidUtf8("ab\x80z"), "ab" + r + "z");
  EXPECT_EQ(ToValidUtf8("\xE2\x82"), r);  // cut short: one
  EXPECT_EQ(ToValidUtf8("\xE2\x82(\xC3"), r + "(" + r);
  EXPECT_EQ(ToValidUtf8("\xC0\xAF"), r + r);          // overlong: each byte
  EXPECT_EQ(ToValidUtf8("\xED\xA0\x80"), r + r + r);  // a surrogate: each byte
  EXPECT_EQ(ToValidUtf8("\xF0\x9F\x98\xF0\x9F\x98\x80"), r + "\xF0\x9F\x98\x80");
  EXPECT_EQ(ToValidUtf8("\xF4\x90\x80\x80"), r + r + r + r);  // beyond U+10FFFF
  EXPECT_EQ(ToValidUtf8(std::string("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Utf8Test, AssemblingDoesNotDependOnChunks) {
  std::mt19937 random(1);
  const std::string bytes = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x80\xFF\xE2\x28\xF0\x9F";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += bytes[random() % bytes.size()];
    Utf8Assembler assembler;
    std::string out;
    for (size_t pos = 0; pos < text.size();) {
      const size_t length = 1 + random() % 4;
      assembler.Push(absl::string_view(text).substr(pos, length), &out);
      EXPECT_TRUE(IsValidUtf8(out));
      pos += length;
    }
    assembler.Flush(&out);
    EXPECT_EQ(out, ToValidUtf8(text));
    EXPECT_EQ(IsValidUtf8(text), out == text);
  }
}

TEST(Utf8Test, EveryCodePointSurvivesARoundTrip) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, &text);
    const CodePoint decoded = DecodeUtf8(text, 0);
    ASSERT_EQ(decoded.value, c);
    ASSERT_EQ(decoded.length, text.size());
    ASSERT_TRUE(IsValidUtf8(text)) << static_cast<uint32_t>(c);
  }
}

TEST(Utf8Test, KnowsWhiteSpaceAndWords) {
  EXPECT_TRUE(IsWhiteSpace(0x85));
  EXPECT_TRUE(IsWhiteSpace(0x3000));
  EXPECT_FALSE(IsWhiteSpace(0x180E));
  EXPECT_FALSE(IsWhiteSpace(0x200B));
  EXPECT_TRUE(IsWordCharacter('_'));
  EXPECT_TRUE(IsWordCharacter(0x301));  // a combining accent
  EXPECT_FALSE(IsWordCharacter(0xBD));  // one half
  EXPECT_TRUE(IsNumeric(0xBD));
}

}  // namespace
}  // namespace layercake
