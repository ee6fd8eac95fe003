#pragma once

// Python's str methods on marked text: what is cut out, moved or recased keeps its marks.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/text/marked_text.h"

namespace layercake::jinja {

enum class Side { kBoth, kLeft, kRight };

// Without the characters of `characters` at the ends; without white space where there are none.
MarkedText Strip(const MarkedText& text, std::optional<absl::string_view> characters, Side side);

// Around `separator`, which is not empty; at most `max_splits` times (< 0: always), from the right
// if `from_right`.
std::vector<MarkedText> Split(const MarkedText& text, absl::string_view separator,
                              int64_t max_splits, bool from_right);
// Around runs of white space, dropping empty pieces.
std::vector<MarkedText> SplitWords(const MarkedText& text, int64_t max_splits);
std::vector<MarkedText> SplitLines(const MarkedText& text, bool keep_ends);

// At most `count` replacements (< 0: all). An empty `from` stands between all characters.
MarkedText Replace(const MarkedText& text, absl::string_view from, const MarkedText& to,
                   int64_t count);

enum class Case { kLower, kUpper, kTitle, kCapitalize };
MarkedText ToCase(const MarkedText& text, Case wanted);

// One piece for each character.
std::vector<MarkedText> Characters(const MarkedText& text);
int64_t CountCharacters(absl::string_view text);

}  // namespace layercake::jinja
