#include "coordinator/text/split_behavior.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace layercake {
namespace {

// Each delimiter joins the piece before it, unless that piece ends in a delimiter already.
std::vector<TextSpan> MergeWithPrevious(const std::vector<SplitPiece>& pieces) {
  std::vector<TextSpan> out;
  bool after_delimiter = false;
  for (const SplitPiece& piece : pieces) {
    if (piece.is_delimiter && !after_delimiter && !out.empty()) {
      out.back().end = piece.span.end;
    } else {
      out.push_back(piece.span);
    }
    after_delimiter = piece.is_delimiter;
  }
  return out;
}

std::vector<TextSpan> MergeWithNext(const std::vector<SplitPiece>& pieces) {
  std::vector<TextSpan> out;
  bool before_delimiter = false;
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    if (piece->is_delimiter && !before_delimiter && !out.empty()) {
      out.back().begin = piece->span.begin;
    } else {
      out.push_back(piece->span);
    }
    before_delimiter = piece->is_delimiter;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<TextSpan> MergeEqualNeighbours(const std::vector<SplitPiece>& pieces) {
  std::vector<TextSpan> out;
  bool last_kind = false;
  for (const SplitPiece& piece : pieces) {
    if (piece.is_delimiter == last_kind && !out.empty()) {
      out.back().end = piece.span.end;
    } else {
      out.push_back(piece.span);
    }
    last_kind = piece.is_delimiter;
  }
  return out;
}

std::vector<TextSpan> Join(const std::vector<SplitPiece>& pieces, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kMergedWithPrevious:
      return MergeWithPrevious(pieces);
    case SplitBehavior::kMergedWithNext:
      return MergeWithNext(pieces);
    case SplitBehavior::kContiguous:
      return MergeEqualNeighbours(pieces);
    case SplitBehavior::kRemoved:
    case SplitBehavior::kIsolated:
      break;
  }
  std::vector<TextSpan> out;
  for (const SplitPiece& piece : pieces) {
    if (behavior == SplitBehavior::kIsolated || !piece.is_delimiter) out.push_back(piece.span);
  }
  return out;
}

}  // namespace

absl::StatusOr<SplitBehavior> ParseSplitBehavior(absl::string_view name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return absl::DataLossError(absl::StrCat("unknown split behavior '", name, "'"));
}

void ApplySplitBehavior(const std::vector<SplitPiece>& pieces, SplitBehavior behavior,
                        std::vector<TextSpan>* out) {
  for (const TextSpan span : Join(pieces, behavior)) {
    if (span.begin < span.end) out->push_back(span);
  }
}

}  // namespace layercake
