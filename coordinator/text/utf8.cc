#include "coordinator/text/utf8.h"

#include <utf8proc.h>

#include "absl/strings/str_cat.h"

namespace layercake {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

size_t AsciiRun(absl::string_view bytes, size_t pos) {
  const size_t begin = pos;
  while (pos < bytes.size() && static_cast<unsigned char>(bytes[pos]) < 0x80) ++pos;
  return pos - begin;
}

utf8proc_category_t Category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

}  // namespace

CodePoint DecodeUtf8(absl::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu), 2};
  if (lead < 0xF0) {
    return {(lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  }
  return {
      (lead & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu),
      4};
}

void AppendUtf8(char32_t value, std::string* out) {
  utf8proc_uint8_t buffer[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), buffer);
  out->append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(length));
}

void Utf8Assembler::StartCharacter(unsigned char byte, std::string* out) {
  lower_ = 0x80;
  upper_ = 0xBF;
  if (byte < 0x80) {
    out->push_back(static_cast<char>(byte));
    return;
  }
  if (byte < 0xC2 || byte > 0xF4) {
    absl::StrAppend(out, kReplacement);
    return;
  }
  missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  if (byte == 0xE0) lower_ = 0xA0;
  if (byte == 0xED) upper_ = 0x9F;
  if (byte == 0xF0) lower_ = 0x90;
  if (byte == 0xF4) upper_ = 0x8F;
  pending_.assign(1, static_cast<char>(byte));
}

void Utf8Assembler::Push(absl::string_view bytes, std::string* out) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (missing_ == 0) {
      if (const size_t run = AsciiRun(bytes, i); run > 0) {
        absl::StrAppend(out, bytes.substr(i, run));
        i += run - 1;
        continue;
      }
      StartCharacter(byte, out);
      continue;
    }
    if (byte < lower_ || byte > upper_) {
      Flush(out);
      StartCharacter(byte, out);
      continue;
    }
    lower_ = 0x80;
    upper_ = 0xBF;
    pending_.push_back(static_cast<char>(byte));
    if (--missing_ == 0) {
      absl::StrAppend(out, pending_);
      pending_.clear();
    }
  }
}

void Utf8Assembler::Flush(std::string* out) {
  if (!pending_.empty()) absl::StrAppend(out, kReplacement);
  pending_.clear();
  missing_ = 0;
}

bool IsValidUtf8(absl::string_view bytes) {
  for (size_t pos = AsciiRun(bytes, 0); pos < bytes.size(); pos += AsciiRun(bytes, pos)) {
    utf8proc_int32_t value;
    const auto length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()) + pos,
                         static_cast<utf8proc_ssize_t>(bytes.size() - pos), &value);
    if (length <= 0) return false;
    pos += static_cast<size_t>(length);
  }
  return true;
}

std::string ToValidUtf8(absl::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Utf8Assembler assembler;
  assembler.Push(bytes, &out);
  assembler.Flush(&out);
  return out;
}

bool IsWhiteSpace(char32_t c) {
  if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0D);
  if (c < 0x1680) return c == 0x85 || c == 0xA0;
  return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsNumeric(char32_t c) {
  const auto category = Category(c);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool IsMark(char32_t c) {
  const auto category = Category(c);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ME;
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  const auto category = Category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsWordCharacter(char32_t c) {
  const auto category = Category(c);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) return true;
  if (category == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D) return true;
  // Other_Alphabetic beyond letters and marks: circled and squared Latin letters.
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

char32_t ToLower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

char32_t ToUpper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

bool IsUpper(char32_t c) {
  return Category(c) == UTF8PROC_CATEGORY_LU || Category(c) == UTF8PROC_CATEGORY_LT;
}

bool IsLower(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_LL; }

}  // namespace layercake
