#pragma once

// GPT-2's printable alphabet: each byte stands as one character of U+0021..U+0143, so that a
// vocabulary of bytes can be written as text. Source: openai/gpt-2 encoder.py, bytes_to_unicode.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace layercake {

// Appends the alphabet's character for each byte of `bytes`.
void AppendByteLevel(absl::string_view bytes, std::string* out);

// The bytes that `text` spells; none when a character is outside the alphabet.
// REQUIRES: `text` is valid UTF-8.
std::optional<std::string> FromByteLevel(absl::string_view text);

}  // namespace layercake
