#include "coordinator/text/jinja/string_literal.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

constexpr absl::string_view kEscapes = "n\nt\tr\rb\bf\fv\va\a\\\\''\"\"";

// The number of hexadecimal digits that follow \x, \u or \U; else 0.
size_t HexDigits(char kind) { return kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0; }

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

}  // namespace

absl::StatusOr<std::string> UnescapeString(absl::string_view text, int line) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char kind = text[++i];
    if (kind == '\n') continue;
    if (const size_t at = kEscapes.find(kind); at != absl::string_view::npos && at % 2 == 0) {
      out.push_back(kEscapes[at + 1]);
    } else if (const size_t digits = HexDigits(kind); digits > 0) {
      uint64_t value = 0;
      const absl::string_view hex = text.substr(i + 1, digits);
      if (hex.size() < digits || !absl::SimpleHexAtoi(hex, &value) || value > 0x10FFFF ||
          (value >= 0xD800 && value < 0xE000)) {
        return ErrorAt(line, absl::StrCat("'\\", text.substr(i, digits + 1), "' is no character"));
      }
      AppendUtf8(static_cast<char32_t>(value), &out);
      i += digits;
    } else if (IsOctal(kind)) {
      char32_t value = 0;
      size_t end = i;
      while (end < text.size() && end < i + 3 && IsOctal(text[end])) {
        value = value * 8 + static_cast<char32_t>(text[end++] - '0');
      }
      AppendUtf8(value, &out);
      i = end - 1;
    } else {
      out.push_back('\\');
      out.push_back(kind);
    }
  }
  return out;
}

std::string Quote(absl::string_view text) {
  const char quote = absl::StrContains(text, '\'') && !absl::StrContains(text, '"') ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    switch (c) {
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        if (c == quote) {
          absl::StrAppend(&out, "\\", std::string(1, c));
        } else if (absl::ascii_iscntrl(c)) {
          absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back(quote);
  return out;
}

}  // namespace layercake::jinja
