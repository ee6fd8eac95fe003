#pragma once

#include "coordinator/text/marked_text.h"

namespace layercake {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// Rewrites `text` in a normalization form of UAX #15 (utf8proc's tables). Where a stretch between
// two ASCII characters changes, all of it is untrusted if any of it was.
// REQUIRES: `text` is valid UTF-8.
void ToUnicodeForm(UnicodeForm form, MarkedText* text);

}  // namespace layercake
