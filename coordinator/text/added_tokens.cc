#include "coordinator/text/added_tokens.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

char32_t CharacterBefore(absl::string_view text, size_t pos) {
  do {
    --pos;
  } while ((static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
  return DecodeUtf8(text, pos).value;
}

bool StandsAlone(absl::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordCharacter(CharacterBefore(text, begin))) return false;
  return end == text.size() || !IsWordCharacter(DecodeUtf8(text, end).value);
}

// The start of the white space that ends at `end`.
size_t SpaceBegin(absl::string_view text, size_t end) {
  while (end > 0) {
    size_t begin = end;
    do {
      --begin;
    } while ((static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80);
    if (!IsWhiteSpace(DecodeUtf8(text, begin).value)) break;
    end = begin;
  }
  return end;
}

size_t SpaceEnd(absl::string_view text, size_t begin) {
  while (begin < text.size()) {
    const CodePoint c = DecodeUtf8(text, begin);
    if (!IsWhiteSpace(c.value)) break;
    begin += c.length;
  }
  return begin;
}

bool LooksLikeMarkup(absl::string_view content) {
  return (absl::StartsWith(content, "<") && absl::EndsWith(content, ">")) ||
         (absl::StartsWith(content, "[") && absl::EndsWith(content, "]"));
}

absl::StatusOr<AddedToken> ReadToken(const Json& json, const Normalizer& normalizer) {
  constexpr absl::string_view kWhere = "added_tokens";
  AddedToken token;
  LC_ASSIGN_OR_RETURN(token.content, RequireString(json, "content", kWhere));
  LC_ASSIGN_OR_RETURN(token.single_word, BoolOr(json, "single_word", false, kWhere));
  LC_ASSIGN_OR_RETURN(token.lstrip, BoolOr(json, "lstrip", false, kWhere));
  LC_ASSIGN_OR_RETURN(token.rstrip, BoolOr(json, "rstrip", false, kWhere));
  LC_ASSIGN_OR_RETURN(token.special, BoolOr(json, "special", false, kWhere));
  LC_ASSIGN_OR_RETURN(token.normalized, BoolOr(json, "normalized", !token.special, kWhere));
  token.control = token.special || LooksLikeMarkup(token.content);
  MarkedText pattern(token.content);
  if (token.normalized) LC_RETURN_IF_ERROR(normalizer.Apply(&pattern));
  token.pattern = pattern.text();
  return token;
}

}  // namespace

TokenMatcher::TokenMatcher(const std::vector<const AddedToken*>& tokens) : nodes_(1) {
  for (const AddedToken* token : tokens) {
    if (token->pattern.empty()) continue;
    starts_token_[static_cast<unsigned char>(token->pattern[0])] = true;
    int node = 0;
    for (const char byte : token->pattern) {
      int child = Child(node, byte);
      if (child < 0) {
        child = static_cast<int>(nodes_.size());
        nodes_.emplace_back();
        nodes_[static_cast<size_t>(node)].children.emplace_back(byte, child);
      }
      node = child;
    }
    nodes_[static_cast<size_t>(node)].token = token;
  }
}

int TokenMatcher::Child(int node, char byte) const {
  for (const auto& [label, child] : nodes_[static_cast<size_t>(node)].children) {
    if (label == byte) return child;
  }
  return -1;
}

const AddedToken* TokenMatcher::LongestAt(const MarkedText& text, size_t pos) const {
  const AddedToken* longest = nullptr;
  int node = 0;
  for (size_t end = pos; end < text.size();) {
    node = Child(node, text.text()[end]);
    if (node < 0) break;
    ++end;
    const AddedToken* token = nodes_[static_cast<size_t>(node)].token;
    if (token != nullptr && !(token->control && text.AnyUntrusted(pos, end))) longest = token;
  }
  return longest;
}

std::vector<TextSegment> TokenMatcher::Split(const MarkedText& text, bool take_special) const {
  const absl::string_view bytes = text.text();
  std::vector<TextSegment> segments;
  size_t covered = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const AddedToken* token =
        starts_token_[static_cast<unsigned char>(bytes[pos])] ? LongestAt(text, pos) : nullptr;
    if (token == nullptr) {
      ++pos;
      continue;
    }
    size_t begin = pos;
    size_t end = pos + token->pattern.size();
    pos = end;
    if (token->special && !take_special) continue;
    if (token->single_word && !StandsAlone(bytes, begin, end)) continue;
    // As in the reference, the search goes on behind the token itself, not behind the space it
    // takes along: another token may begin in that space, and then the two overlap.
    if (token->lstrip) begin = std::max(SpaceBegin(bytes, begin), covered);
    if (token->rstrip) end = SpaceEnd(bytes, end);
    if (covered < begin) segments.push_back({covered, begin, nullptr});
    segments.push_back({begin, end, token});
    covered = end;
  }
  if (covered < bytes.size()) segments.push_back({covered, bytes.size(), nullptr});
  return segments;
}

absl::StatusOr<std::unique_ptr<AddedTokens>> AddedTokens::Create(const Json& json,
                                                                 const BpeModel& model,
                                                                 const Normalizer& normalizer) {
  std::unique_ptr<AddedTokens> result(new AddedTokens());
  if (!json.is_null() && !json.is_array()) {
    return absl::DataLossError("tokenizer: 'added_tokens' is not a list");
  }
  int32_t next_id = model.size();
  for (const Json& item : json) {
    LC_ASSIGN_OR_RETURN(AddedToken token, ReadToken(item, normalizer));
    if (token.content.empty()) continue;
    if (const auto known = result->id_of_.find(token.content); known != result->id_of_.end()) {
      token.id = known->second;
    } else if (const auto id = model.IdOf(token.content); id.has_value()) {
      token.id = *id;
    } else {
      token.id = next_id++;
    }
    result->id_of_[token.content] = token.id;
    if (token.special) result->special_.insert(token.content);
    result->id_limit_ = std::max(result->id_limit_, token.id + 1);
    result->by_id_[token.id] = std::make_unique<AddedToken>(std::move(token));
  }
  std::vector<const AddedToken*> raw, normalized;
  for (const AddedToken* token : result->All()) {
    (token->normalized ? normalized : raw).push_back(token);
  }
  result->raw_matcher_ = std::make_unique<TokenMatcher>(raw);
  result->normalized_matcher_ = std::make_unique<TokenMatcher>(normalized);
  return result;
}

const AddedToken* AddedTokens::Find(int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second.get();
}

const AddedToken* AddedTokens::Find(absl::string_view content) const {
  const auto it = id_of_.find(content);
  return it == id_of_.end() ? nullptr : Find(it->second);
}

std::vector<const AddedToken*> AddedTokens::All() const {
  std::vector<const AddedToken*> all;
  for (const auto& [id, token] : by_id_) all.push_back(token.get());
  std::sort(all.begin(), all.end(),
            [](const AddedToken* a, const AddedToken* b) { return a->id < b->id; });
  return all;
}

}  // namespace layercake
