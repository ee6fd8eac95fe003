#include "coordinator/text/bpe.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

// The merge of the lowest rank is looked for by scanning up to here, by a heap beyond.
constexpr size_t kShortWord = 48;
constexpr absl::string_view kSpace = "\u2581";
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

absl::Status BpeModel::Encode(absl::string_view word, std::vector<int32_t>* ids) const {
  size_t begin = 0;
  if (cuts_at_spaces_) {
    for (size_t at = word.find(kSpace, 1); at != word.npos;
         at = word.find(kSpace, at + kSpace.size())) {
      if (absl::EndsWith(word.substr(0, at), kSpace)) continue;
      LC_RETURN_IF_ERROR(EncodeUncut(word.substr(begin, at - begin), ids));
      begin = at;
    }
  }
  return EncodeUncut(word.substr(begin), ids);
}

absl::Status BpeModel::EncodeUncut(absl::string_view word, std::vector<int32_t>* ids) const {
  if (word.empty()) return absl::OkStatus();
  if (const auto it = vocab_.find(word); it != vocab_.end()) {
    if (ignore_merges_ || is_whole_word_[static_cast<size_t>(it->second)]) {
      ids->push_back(it->second);
      return absl::OkStatus();
    }
  }
  std::vector<int32_t> symbols;
  LC_RETURN_IF_ERROR(InitialSymbols(word, &symbols));
  symbols.size() <= kShortWord ? MergeShort(&symbols) : MergeLong(&symbols);
  ids->insert(ids->end(), symbols.begin(), symbols.end());
  return absl::OkStatus();
}

std::optional<int32_t> BpeModel::IdOf(absl::string_view piece) const {
  const auto it = vocab_.find(piece);
  if (it == vocab_.end()) return std::nullopt;
  return it->second;
}

const std::string* BpeModel::PieceOf(int32_t id) const {
  if (id < 0 || id >= id_limit()) return nullptr;
  return pieces_[static_cast<size_t>(id)];
}

int32_t BpeModel::CharacterId(absl::string_view word, size_t begin, size_t end) const {
  const bool needs_prefix = begin > 0 && !prefix_.empty();
  const bool needs_suffix = end == word.size() && !suffix_.empty();
  const absl::string_view character = word.substr(begin, end - begin);
  if (needs_prefix || needs_suffix) {
    return IdOf(absl::StrCat(needs_prefix ? prefix_ : "", character, needs_suffix ? suffix_ : ""))
        .value_or(-1);
  }
  const char32_t c = DecodeUtf8(word, begin).value;
  return c < character_ids_.size() ? character_ids_[c] : IdOf(character).value_or(-1);
}

bool BpeModel::AppendFallbackBytes(absl::string_view bytes, std::vector<int32_t>* symbols) const {
  const size_t old_size = symbols->size();
  for (const char c : bytes) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      symbols->resize(old_size);
      return false;
    }
    symbols->push_back(id);
  }
  return true;
}

absl::Status BpeModel::InitialSymbols(absl::string_view word, std::vector<int32_t>* symbols) const {
  symbols->reserve(word.size());
  bool unknown_pending = false;
  for (size_t pos = 0; pos < word.size();) {
    const size_t end = pos + DecodeUtf8(word, pos).length;
    const int32_t id = CharacterId(word, pos, end);
    if (id >= 0) {
      if (unknown_pending) symbols->push_back(*unk_id_);
      unknown_pending = false;
      symbols->push_back(id);
    } else if (byte_fallback_ && AppendFallbackBytes(word.substr(pos, end - pos), symbols)) {
      // The reference leaves a pending unknown pending across fallback bytes; so do we.
    } else if (unk_token_.has_value()) {
      if (!unk_id_.has_value()) {
        return absl::DataLossError(absl::StrCat("the tokenizer's unk_token '", *unk_token_,
                                                "' is not in its vocabulary, and the text holds "
                                                "a character that is not either"));
      }
      if (unknown_pending && !fuse_unk_) symbols->push_back(*unk_id_);
      unknown_pending = true;
    }
    pos = end;
  }
  if (unknown_pending) symbols->push_back(*unk_id_);
  return absl::OkStatus();
}

const BpeModel::Merge* BpeModel::FindMerge(int32_t left, int32_t right) const {
  const auto it = merges_.find(PairKey(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void BpeModel::MergeShort(std::vector<int32_t>* symbols) const {
  std::array<Merge, kShortWord> merge_at;  // of symbols i and i+1
  const auto look_up = [&](size_t i) {
    const Merge* merge = FindMerge((*symbols)[i], (*symbols)[i + 1]);
    merge_at[i] = merge == nullptr ? Merge{kNoRank, -1} : *merge;
  };
  size_t size = symbols->size();
  for (size_t i = 0; i + 1 < size; ++i) look_up(i);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (merge_at[i].rank < merge_at[best].rank) best = i;
    }
    if (merge_at[best].rank == kNoRank) break;
    (*symbols)[best] = merge_at[best].id;
    std::copy(symbols->begin() + best + 2, symbols->begin() + size, symbols->begin() + best + 1);
    std::copy(merge_at.begin() + best + 1, merge_at.begin() + size - 1, merge_at.begin() + best);
    --size;
    if (best + 1 < size) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  symbols->resize(size);
}

void BpeModel::MergeLong(std::vector<int32_t>* symbols) const {
  constexpr size_t kEnd = std::numeric_limits<size_t>::max();
  struct Link {
    size_t previous, next;
    bool removed;
  };
  struct Candidate {
    int32_t rank;
    size_t position;
    int32_t id;
    // For a heap whose top is the lowest rank, and the leftmost of equals.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  const size_t size = symbols->size();
  std::vector<Link> links(size);
  for (size_t i = 0; i < size; ++i)
    links[i] = {i == 0 ? kEnd : i - 1, i + 1 < size ? i + 1 : kEnd, false};
  std::priority_queue<Candidate> heap;
  const auto offer = [&](size_t i) {
    if (i == kEnd || links[i].next == kEnd) return;
    const Merge* merge = FindMerge((*symbols)[i], (*symbols)[links[i].next]);
    if (merge != nullptr) heap.push({merge->rank, i, merge->id});
  };
  for (size_t i = 0; i < size; ++i) offer(i);
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    Link& link = links[top.position];
    if (link.removed || link.next == kEnd) continue;
    const size_t right = link.next;
    const Merge* merge = FindMerge((*symbols)[top.position], (*symbols)[right]);
    if (merge == nullptr || merge->id != top.id) continue;  // overtaken by another merge
    (*symbols)[top.position] = top.id;
    links[right].removed = true;
    link.next = links[right].next;
    if (link.next != kEnd) links[link.next].previous = top.position;
    offer(link.previous);
    offer(top.position);
  }
  size_t kept = 0;
  for (size_t i = 0; i < size; ++i) {
    if (!links[i].removed) (*symbols)[kept++] = (*symbols)[i];
  }
  symbols->resize(kept);
}

}  // namespace layercake
