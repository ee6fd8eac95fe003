#include "coordinator/text/byte_level.h"

#include <array>

#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

struct Alphabet {
  std::array<std::array<char, 2>, 256> utf8 = {};
  std::array<uint8_t, 256> utf8_length = {};
  std::array<int16_t, 324> byte_of = {};  // by code point; -1 is not in the alphabet
};

Alphabet MakeAlphabet() {
  Alphabet alphabet;
  alphabet.byte_of.fill(-1);
  char32_t next_spare = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
                           (byte >= 0xAE && byte <= 0xFF);
    const char32_t c = printable ? static_cast<char32_t>(byte) : next_spare++;
    std::string encoded;
    AppendUtf8(c, &encoded);
    encoded.copy(alphabet.utf8[byte].data(), 2);
    alphabet.utf8_length[byte] = static_cast<uint8_t>(encoded.size());
    alphabet.byte_of[c] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet = MakeAlphabet();
  return alphabet;
}

}  // namespace

void AppendByteLevel(absl::string_view bytes, std::string* out) {
  const Alphabet& alphabet = TheAlphabet();
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out->append(alphabet.utf8[byte].data(), alphabet.utf8_length[byte]);
  }
}

std::optional<std::string> FromByteLevel(absl::string_view text) {
  const Alphabet& alphabet = TheAlphabet();
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeUtf8(text, pos);
    pos += c.length;
    if (c.value >= alphabet.byte_of.size() || alphabet.byte_of[c.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(alphabet.byte_of[c.value]));
  }
  return bytes;
}

}  // namespace layercake
