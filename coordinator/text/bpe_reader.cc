// BpeModel's creation from JSON.

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "coordinator/text/bpe.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

constexpr absl::string_view kWhere = "model";
constexpr absl::string_view kSpace = "\u2581";
// No known vocabulary comes near; a larger id in a file is damage, and would cost memory.
constexpr int64_t kMaxId = (1 << 24) - 1;

}  // namespace

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::Create(const Json& json) {
  LC_ASSIGN_OR_RETURN(const auto type, OptionalString(json, "type", kWhere));
  if (type.has_value() && *type != "BPE") {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer model '", *type, "' is not supported by this build; only BPE is"));
  }
  std::unique_ptr<BpeModel> model(new BpeModel());
  LC_RETURN_IF_ERROR(model->ReadVocab(json));
  LC_RETURN_IF_ERROR(model->ReadOptions(json));
  LC_RETURN_IF_ERROR(model->ReadMerges(json));
  model->IndexCharacters();
  model->DecideOnCuts();
  model->FindWholeWords();
  return model;
}

absl::Status BpeModel::ReadVocab(const Json& json) {
  LC_ASSIGN_OR_RETURN(const Json* vocab, RequireMember(json, "vocab", kWhere));
  if (!vocab->is_object()) return absl::DataLossError("model: 'vocab' is not an object");
  vocab_.reserve(vocab->size());
  for (const auto& [piece, id] : vocab->items()) {
    const int64_t value = id.is_number_integer() ? id.get<int64_t>() : -1;
    if (value < 0 || value > kMaxId) {
      return absl::DataLossError(absl::StrCat("model: the id of piece '", piece, "' is ",
                                              Describe(id), ", not an integer of 0 to ", kMaxId));
    }
    vocab_.emplace(piece, static_cast<int32_t>(value));
  }
  for (const auto& [piece, id] : vocab_) {
    const auto index = static_cast<size_t>(id);
    if (index >= pieces_.size()) pieces_.resize(index + 1, nullptr);
    pieces_[index] = &piece;
  }
  return absl::OkStatus();
}

absl::Status BpeModel::ReadOptions(const Json& json) {
  LC_ASSIGN_OR_RETURN(unk_token_, OptionalString(json, "unk_token", kWhere));
  if (unk_token_.has_value()) unk_id_ = IdOf(*unk_token_);
  LC_ASSIGN_OR_RETURN(const auto prefix, OptionalString(json, "continuing_subword_prefix", kWhere));
  LC_ASSIGN_OR_RETURN(const auto suffix, OptionalString(json, "end_of_word_suffix", kWhere));
  prefix_ = prefix.value_or("");
  suffix_ = suffix.value_or("");
  LC_ASSIGN_OR_RETURN(fuse_unk_, BoolOr(json, "fuse_unk", false, kWhere));
  LC_ASSIGN_OR_RETURN(byte_fallback_, BoolOr(json, "byte_fallback", false, kWhere));
  LC_ASSIGN_OR_RETURN(ignore_merges_, BoolOr(json, "ignore_merges", false, kWhere));
  return absl::OkStatus();
}

absl::Status BpeModel::ReadMerges(const Json& json) {
  LC_ASSIGN_OR_RETURN(const Json* merges, RequireMember(json, "merges", kWhere));
  if (!merges->is_array()) return absl::DataLossError("model: 'merges' is not a list");
  merges_.reserve(merges->size());
  int32_t rank = 0;
  for (const Json& merge : *merges) {
    if (merge.is_string()) {
      const absl::string_view line = merge.get_ref<const std::string&>();
      if (line.substr(0, 8) == "#version") continue;
      const size_t space = line.find(' ');
      if (space == absl::string_view::npos ||
          line.find(' ', space + 1) != absl::string_view::npos) {
        return absl::DataLossError(
            absl::StrCat("model: merge ", rank, " '", line, "' is not two pieces and one space"));
      }
      LC_RETURN_IF_ERROR(ReadMerge(line.substr(0, space), line.substr(space + 1), rank));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      LC_RETURN_IF_ERROR(ReadMerge(merge[0].get_ref<const std::string&>(),
                                   merge[1].get_ref<const std::string&>(), rank));
    } else {
      return absl::DataLossError(
          absl::StrCat("model: merge ", rank, " is neither a string nor a pair of strings"));
    }
    ++rank;
  }
  return absl::OkStatus();
}

absl::Status BpeModel::ReadMerge(absl::string_view left, absl::string_view right, int32_t rank) {
  const auto left_id = IdOf(left);
  const auto right_id = IdOf(right);
  if (right.size() < prefix_.size()) {
    return absl::DataLossError(
        absl::StrCat("model: merge ", rank, ": '", right, "' is shorter than the prefix"));
  }
  const auto merged_id = IdOf(absl::StrCat(left, right.substr(prefix_.size())));
  if (!left_id.has_value() || !right_id.has_value() || !merged_id.has_value()) {
    return absl::DataLossError(absl::StrCat("model: merge ", rank, " of '", left, "' and '", right,
                                            "' names a piece that is not in the vocabulary"));
  }
  const uint64_t key = static_cast<uint64_t>(*left_id) << 32 | static_cast<uint64_t>(*right_id);
  merges_[key] = {rank, *merged_id};
  if (absl::StartsWith(right, kSpace) && !absl::EndsWith(left, kSpace)) merges_into_spaces_ = true;
  return absl::OkStatus();
}

// Merges are found by id, so every id must mean one piece; and a space must be known, or it could
// be fused with an unknown character before it.
void BpeModel::DecideOnCuts() {
  const auto num_ids = std::ranges::count_if(pieces_, [](const auto* p) { return p != nullptr; });
  cuts_at_spaces_ = !merges_into_spaces_ && !ignore_merges_ && prefix_.empty() && suffix_.empty() &&
                    IdOf(kSpace).has_value() && num_ids == static_cast<int64_t>(vocab_.size());
}

void BpeModel::IndexCharacters() {
  for (size_t c = 0; c < character_ids_.size(); ++c) {
    std::string text;
    AppendUtf8(static_cast<char32_t>(c), &text);
    character_ids_[c] = IdOf(text).value_or(-1);
  }
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = IdOf(absl::StrFormat("<0x%02X>", byte)).value_or(-1);
  }
}

void BpeModel::FindWholeWords() {
  is_whole_word_.assign(pieces_.size(), false);
  std::vector<bool> whole(pieces_.size(), true);
  std::vector<int32_t> ids;
  for (const auto& [piece, id] : vocab_) {
    ids.clear();
    const bool encodes_as_itself = Encode(piece, &ids).ok() && ids.size() == 1 && ids[0] == id;
    if (!encodes_as_itself) whole[static_cast<size_t>(id)] = false;
  }
  is_whole_word_ = std::move(whole);
}

}  // namespace layercake
