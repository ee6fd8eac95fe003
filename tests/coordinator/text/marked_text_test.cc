#include "coordinator/text/marked_text.h"

#include <gtest/gtest.h>

#include "coordinator/text/unicode_form.h"

namespace layercake {
namespace {

std::string Marks(const MarkedText& text) {
  std::string marks;
  for (size_t i = 0; i < text.size(); ++i) marks += text.AnyUntrusted(i, i + 1) ? 'u' : '.';
  return marks;
}

TEST(MarkedTextTest, EachByteKeepsItsMark) {
  MarkedText text("ab");
  EXPECT_FALSE(text.has_untrusted());
  text.Append("cd", /*untrusted=*/true);
  text.Append("e", false);
  EXPECT_EQ(text.text(), "abcde");
  EXPECT_EQ(Marks(text), "..uu.");
  EXPECT_EQ(Marks(text.Substr(1, 3)), ".u");
  EXPECT_FALSE(text.Substr(0, 2).has_untrusted());
  MarkedText joined("x");
  joined.Append(text, 3, 5);
  EXPECT_EQ(joined.text(), "xde");
  EXPECT_EQ(Marks(joined), ".u.");
  EXPECT_FALSE(text == MarkedText("abcde"));
}

TEST(MarkedTextTest, NormalizationSpreadsMarksOnlyWhereItChangesText) {
  MarkedText text("<e");
  text.Append("\u0301x", /*untrusted=*/true);
  text.Append(">\u00e9", false);
  ToUnicodeForm(UnicodeForm::kNfc, &text);
  EXPECT_EQ(text.text(), "<\u00e9x>\u00e9");
  EXPECT_EQ(Marks(text), ".uuu...");
}

}  // namespace
}  // namespace layercake
