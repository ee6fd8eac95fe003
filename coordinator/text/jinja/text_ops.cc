#include "coordinator/text/jinja/text_ops.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

bool IsStripped(absl::string_view character, std::optional<absl::string_view> characters) {
  return characters.has_value() ? absl::StrContains(*characters, character)
                                : IsWhiteSpace(DecodeUtf8(character, 0).value);
}

size_t PreviousCharacter(absl::string_view text, size_t pos) {
  do {
    --pos;
  } while ((static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

// Titles capitalise after every character that has no case.
bool HasCase(char32_t c) { return ToLower(c) != c || ToUpper(c) != c; }

void AppendUpper(char32_t c, std::string* out) {
  if (c == 0xDF) {
    out->append("SS");  // the one common full mapping
  } else {
    AppendUtf8(ToUpper(c), out);
  }
}

}  // namespace

MarkedText Strip(const MarkedText& text, std::optional<absl::string_view> characters, Side side) {
  const absl::string_view bytes = text.text();
  size_t begin = 0;
  size_t end = bytes.size();
  while (side != Side::kRight && begin < end) {
    const size_t length = DecodeUtf8(bytes, begin).length;
    if (!IsStripped(bytes.substr(begin, length), characters)) break;
    begin += length;
  }
  while (side != Side::kLeft && end > begin) {
    const size_t last = PreviousCharacter(bytes, end);
    if (!IsStripped(bytes.substr(last, end - last), characters)) break;
    end = last;
  }
  return text.Substr(begin, end);
}

std::vector<MarkedText> Split(const MarkedText& text, absl::string_view separator,
                              int64_t max_splits, bool from_right) {
  const absl::string_view bytes = text.text();
  std::vector<MarkedText> pieces;
  if (from_right) {
    size_t end = bytes.size();
    while (max_splits < 0 || static_cast<int64_t>(pieces.size()) < max_splits) {
      if (end < separator.size()) break;
      const size_t at = bytes.rfind(separator, end - separator.size());
      if (at == absl::string_view::npos) break;
      pieces.push_back(text.Substr(at + separator.size(), end));
      end = at;
    }
    pieces.push_back(text.Substr(0, end));
    std::reverse(pieces.begin(), pieces.end());
    return pieces;
  }
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(pieces.size()) < max_splits) {
    const size_t at = bytes.find(separator, begin);
    if (at == absl::string_view::npos) break;
    pieces.push_back(text.Substr(begin, at));
    begin = at + separator.size();
  }
  pieces.push_back(text.Substr(begin, bytes.size()));
  return pieces;
}

std::vector<MarkedText> SplitWords(const MarkedText& text, int64_t max_splits) {
  const absl::string_view bytes = text.text();
  std::vector<MarkedText> pieces;
  size_t begin = bytes.size();  // of the word being read; the end while between words
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = DecodeUtf8(bytes, pos);
    const bool space = IsWhiteSpace(c.value);
    if (!space && begin == bytes.size()) {
      begin = pos;
      if (max_splits >= 0 && static_cast<int64_t>(pieces.size()) == max_splits) {
        pieces.push_back(text.Substr(begin, bytes.size()));
        return pieces;
      }
    } else if (space && begin < bytes.size()) {
      pieces.push_back(text.Substr(begin, pos));
      begin = bytes.size();
    }
    pos += c.length;
  }
  if (begin < bytes.size()) pieces.push_back(text.Substr(begin, bytes.size()));
  return pieces;
}

std::vector<MarkedText> SplitLines(const MarkedText& text, bool keep_ends) {
  const absl::string_view bytes = text.text();
  std::vector<MarkedText> lines;
  size_t begin = 0;
  while (begin < bytes.size()) {
    const size_t at = bytes.find_first_of("\n\r", begin);
    const size_t end = at == absl::string_view::npos ? bytes.size() : at;
    size_t next = std::min(end + 1, bytes.size());
    if (bytes.substr(end, 2) == "\r\n") ++next;
    lines.push_back(text.Substr(begin, keep_ends ? next : end));
    begin = next;
  }
  return lines;
}

MarkedText Replace(const MarkedText& text, absl::string_view from, const MarkedText& to,
                   int64_t count) {
  const absl::string_view bytes = text.text();
  MarkedText out;
  size_t copied = 0;
  size_t search = 0;
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    const size_t at = search <= bytes.size() ? bytes.find(from, search) : absl::string_view::npos;
    if (at == absl::string_view::npos) break;
    out.Append(text, copied, at);
    out.Append(to);
    copied = at + from.size();
    search = copied;
    if (from.empty()) search += at < bytes.size() ? DecodeUtf8(bytes, at).length : 1;
  }
  out.Append(text, copied, bytes.size());
  return out;
}

MarkedText ToCase(const MarkedText& text, Case wanted) {
  MarkedText out;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeUtf8(text.text(), pos);
    std::string mapped;
    const bool upper = wanted == Case::kUpper || (wanted == Case::kTitle && !in_word) ||
                       (wanted == Case::kCapitalize && pos == 0);
    upper ? AppendUpper(c.value, &mapped) : AppendUtf8(ToLower(c.value), &mapped);
    out.Append(mapped, text.AnyUntrusted(pos, pos + c.length));
    in_word = HasCase(c.value);
    pos += c.length;
  }
  return out;
}

std::vector<MarkedText> Characters(const MarkedText& text) {
  std::vector<MarkedText> characters;
  for (size_t pos = 0; pos < text.size();) {
    const size_t length = DecodeUtf8(text.text(), pos).length;
    characters.push_back(text.Substr(pos, pos + length));
    pos += length;
  }
  return characters;
}

int64_t CountCharacters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace layercake::jinja
