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
