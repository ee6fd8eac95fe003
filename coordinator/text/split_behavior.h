#pragma once

// What becomes of the delimiters when text is split.

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/pre_tokenizer.h"

namespace layercake {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Errors: DataLoss (unknown name).
absl::StatusOr<SplitBehavior> ParseSplitBehavior(absl::string_view name);

struct SplitPiece {
  TextSpan span;
  bool is_delimiter = false;
};

// Joins or drops `pieces`, which cover the text in order, and appends the words to `out`.
void ApplySplitBehavior(const std::vector<SplitPiece>& pieces, SplitBehavior behavior,
                        std::vector<TextSpan>* out);

}  // namespace layercake
