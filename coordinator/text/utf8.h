#pragma once

// UTF-8 and the few Unicode properties that tokenizers ask for (tables from utf8proc).

#include <string>

#include "absl/strings/string_view.h"

namespace layercake {

struct CodePoint {
  char32_t value = 0;
  size_t length = 0;  // bytes
};

// The character that starts at `text[pos]`. REQUIRES: `text` is valid UTF-8, pos < text.size().
CodePoint DecodeUtf8(absl::string_view text, size_t pos);
void AppendUtf8(char32_t value, std::string* out);

// Turns a stream of bytes into valid UTF-8: a character is emitted when its last byte came, and
// every maximal ill-formed subpart becomes one U+FFFD, as in Python's
// bytes.decode("utf-8", errors="replace"). Source: the Unicode Standard, 3.9, table 3-7.
class Utf8Assembler {
 public:
  void Push(absl::string_view bytes, std::string* out);
  // The stream ends: an unfinished character becomes U+FFFD.
  void Flush(std::string* out);

 private:
  void StartCharacter(unsigned char byte, std::string* out);

  std::string pending_;
  int missing_ = 0;  // continuation bytes still to come
  unsigned char lower_ = 0x80, upper_ = 0xBF;
};

bool IsValidUtf8(absl::string_view bytes);
// `bytes` as valid UTF-8, by the rule above.
std::string ToValidUtf8(absl::string_view bytes);

bool IsWhiteSpace(char32_t c);     // White_Space
bool IsNumeric(char32_t c);        // Nd, Nl, No
bool IsMark(char32_t c);           // Mn, Mc, Me
bool IsPunctuation(char32_t c);    // P*, and ASCII's punctuation and symbols
bool IsWordCharacter(char32_t c);  // \w of UTS #18: Alphabetic, M, Nd, Pc, Join_Control
char32_t ToLower(char32_t c);      // simple mappings
char32_t ToUpper(char32_t c);
bool IsUpper(char32_t c);  // Lu, Lt
bool IsLower(char32_t c);  // Ll

}  // namespace layercake
