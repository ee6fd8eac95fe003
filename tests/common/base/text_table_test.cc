#include "common/base/text_table.h"

#include <gtest/gtest.h>

namespace layercake {
namespace {

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  TextTable table({{"worker", TextTable::Align::kLeft}, {"ms", TextTable::Align::kRight}});
  table.AddRow({"m40", "12.5"});
  table.AddRow({"a-long-name", "7"});
  EXPECT_EQ(table.Format(),
            "worker         ms\n"
            "m40          12.5\n"
            "a-long-name     7\n");
}

TEST(TextTableTest, CharactersNotBytesMakeTheWidth) {
  TextTable table({{"a", TextTable::Align::kLeft}, {"b", TextTable::Align::kLeft}});
  table.AddRow({"é", "x"});
  EXPECT_EQ(table.Format(), "a  b\né  x\n");
}

TEST(FormatFigureTest, ThreeSignificantDigitsWithoutExponent) {
  EXPECT_EQ(FormatFigure(0), "0");
  EXPECT_EQ(FormatFigure(1134.4), "1134");
  EXPECT_EQ(FormatFigure(37.66), "37.7");
  EXPECT_EQ(FormatFigure(1), "1.00");
  EXPECT_EQ(FormatFigure(0.05474), "0.0547");
  EXPECT_EQ(FormatFigure(-2.5), "-2.50");
}

TEST(WrapTextTest, BreaksAtSpacesUnderTheHead) {
  EXPECT_EQ(WrapText("m40: ", "fits as it is", 12), "m40: fits as\n     it is\n");
  EXPECT_EQ(WrapText("m40: ", "fits", 60), "m40: fits\n");
}

TEST(WrapTextTest, LongWordGetsItsOwnLine) {
  EXPECT_EQ(WrapText("- ", "a incomprehensibilities b", 10),
            "- a\n  incomprehensibilities\n  b\n");
}

}  // namespace
}  // namespace layercake
