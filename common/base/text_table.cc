#include "common/base/text_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/logging.h"

namespace layercake {

std::string Counted(int64_t number, absl::string_view noun) {
  return absl::StrCat(number, " ", noun, number == 1 ? "" : "s");
}

size_t DisplayWidth(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string FormatFigure(double value) {
  if (value == 0 || !std::isfinite(value)) return absl::StrFormat("%.0f", value);
  const double magnitude = std::floor(std::log10(std::abs(value)));
  const int decimals = std::clamp(2 - static_cast<int>(magnitude), 0, 9);
  return absl::StrFormat("%.*f", decimals, value);
}

void TextTable::AddRow(std::vector<std::string> cells) {
  CHECK_EQ(cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::Format() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = DisplayWidth(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, DisplayWidth(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - DisplayWidth(cell), ' ');
      const bool right = columns_[i].align == Align::kRight;
      absl::StrAppend(&line, i == 0 ? "" : "  ", right ? padding : "", cell, right ? "" : padding);
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&out, line, "\n");
  };
  add_line([this](size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    add_line([&row](size_t i) -> const std::string& { return row[i]; });
  }
  return out;
}

std::string WrapText(absl::string_view head, absl::string_view text, size_t width) {
  const std::string indent(DisplayWidth(head), ' ');
  std::string out(head);
  size_t used = indent.size();
  bool line_empty = true;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const size_t word_width = DisplayWidth(word);
    if (!line_empty && used + 1 + word_width > width) {
      absl::StrAppend(&out, "\n", indent);
      used = indent.size();
      line_empty = true;
    }
    absl::StrAppend(&out, line_empty ? "" : " ", word);
    used += word_width + (line_empty ? 0 : 1);
    line_empty = false;
  }
  return out + "\n";
}

}  // namespace layercake
