#include "coordinator/fleet/spelling.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace layercake {
namespace {

// Longer names are not compared: nobody means them.
constexpr size_t kMaxLetters = 64;

// Levenshtein's distance.
size_t Edits(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string DidYouMean(absl::string_view name, const std::vector<absl::string_view>& known) {
  if (name.size() > kMaxLetters) return "";
  absl::string_view nearest;
  size_t fewest = kMaxLetters;
  for (const absl::string_view candidate : known) {
    const size_t edits = Edits(name, candidate);
    // A wrong letter is likelier than one too many.
    if (edits < fewest || (edits == fewest && candidate.size() == name.size())) {
      fewest = edits;
      nearest = candidate;
    }
  }
  if (nearest.empty() || fewest * 3 > nearest.size()) return "";
  return absl::StrCat("; did you mean ", nearest, "?");
}

}  // namespace layercake
