#pragma once

// Tokens that are found in text before any word is cut: the `added_tokens` of a tokenizer.json.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/bpe.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/marked_text.h"
#include "coordinator/text/normalizer.h"

namespace layercake {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  // What is searched for and what it decodes from: `content`, normalized if it says so.
  std::string pattern;
  bool single_word = false;  // only where no word character adjoins
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;
  bool normalized = false;  // searched for in normalized text
  bool special = false;     // steers the model; skipped when decoding for people
  // Never read out of untrusted text: special tokens, and those that look like markup
  // ("<tool_call>", "[INST]"), since not all files say that those are special.
  bool control = false;
};

// A stretch of text, or a token found in it (`token` is not null).
struct TextSegment {
  size_t begin = 0;
  size_t end = 0;
  const AddedToken* token = nullptr;
};

// Finds the leftmost and, of those, longest of a set of patterns.
class TokenMatcher {
 public:
  // `tokens` must outlive the matcher. Of equal patterns the later token counts.
  explicit TokenMatcher(const std::vector<const AddedToken*>& tokens);

  // Cuts `text` at the tokens it holds. Segments of tokens that take space along may overlap the
  // next one. `take_special`: false leaves special tokens in the text.
  std::vector<TextSegment> Split(const MarkedText& text, bool take_special) const;

 private:
  struct Node {
    std::vector<std::pair<char, int>> children;
    const AddedToken* token = nullptr;
  };
  int Child(int node, char byte) const;
  // The longest token at `pos` that may be read there, or nullptr.
  const AddedToken* LongestAt(const MarkedText& text, size_t pos) const;

  std::vector<Node> nodes_;
  std::array<bool, 256> starts_token_ = {};
};

// Immutable after creation and thread-safe.
class AddedTokens {
 public:
  // `json` is the list or null. Ids follow the reference: the model's own where it knows the
  // content, else counting up from the size of the model's vocabulary.
  // Errors: DataLoss (malformed).
  static absl::StatusOr<std::unique_ptr<AddedTokens>> Create(const Json& json,
                                                             const BpeModel& model,
                                                             const Normalizer& normalizer);

  const TokenMatcher& raw_matcher() const { return *raw_matcher_; }
  const TokenMatcher& normalized_matcher() const { return *normalized_matcher_; }

  const AddedToken* Find(int32_t id) const;
  const AddedToken* Find(absl::string_view content) const;
  // Whether decoding for people leaves out a token with this piece.
  bool IsSpecialPiece(absl::string_view piece) const { return special_.contains(piece); }
  int32_t id_limit() const { return id_limit_; }
  // In the order of their ids.
  std::vector<const AddedToken*> All() const;

 private:
  AddedTokens() = default;

  absl::flat_hash_map<int32_t, std::unique_ptr<AddedToken>> by_id_;
  absl::flat_hash_map<std::string, int32_t> id_of_;
  absl::flat_hash_set<std::string> special_;
  int32_t id_limit_ = 0;
  std::unique_ptr<TokenMatcher> raw_matcher_, normalized_matcher_;
};

}  // namespace layercake
