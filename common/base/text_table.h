#pragma once

// Tables and wrapped sentences for people at a terminal.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace layercake {

// Columns two spaces apart, as wide as their widest cell.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // REQUIRES: one cell per column.
  void AddRow(std::vector<std::string> cells);
  // The titles, then the rows, one line each, without trailing spaces.
  std::string Format() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Three significant digits, never an exponent: "1130", "37.7", "0.547".
std::string FormatFigure(double value);

// "1 thread", "2 threads".
std::string Counted(int64_t number, absl::string_view noun);

// Characters of UTF-8 `text`; each counts as one column.
size_t DisplayWidth(absl::string_view text);

// `text` broken at spaces into lines of at most `width` characters, the first after `head`, the
// others after as many spaces; a longer word gets a line of its own. Ends in a newline.
std::string WrapText(absl::string_view head, absl::string_view text, size_t width);

}  // namespace layercake
