#pragma once

// Byte-pair encoding: the `model` of a tokenizer.json.
// Source: Sennrich et al. 2016, arXiv:1508.07909; the details follow Hugging Face tokenizers.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/json_fields.h"

namespace layercake {

// Immutable after creation and thread-safe.
class BpeModel {
 public:
  // Reads a model of type BPE: vocab, merges (strings or pairs), unk_token, fuse_unk,
  // byte_fallback, ignore_merges, continuing_subword_prefix, end_of_word_suffix. Dropout is a
  // matter of training and ignored.
  // Errors: DataLoss (malformed, ids out of range, merges of unknown tokens); Unimplemented
  // (another type of model).
  static absl::StatusOr<std::unique_ptr<BpeModel>> Create(const Json& json);

  // Appends the ids of one word. REQUIRES: `word` is valid UTF-8.
  // Errors: DataLoss (a character is unknown and so is unk_token).
  absl::Status Encode(absl::string_view word, std::vector<int32_t>* ids) const;

  std::optional<int32_t> IdOf(absl::string_view piece) const;
  // The piece with this id, or nullptr.
  const std::string* PieceOf(int32_t id) const;
  // How many pieces there are.
  int32_t size() const { return static_cast<int32_t>(vocab_.size()); }
  // One past the largest id.
  int32_t id_limit() const { return static_cast<int32_t>(pieces_.size()); }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  BpeModel() = default;
  absl::Status ReadVocab(const Json& json);
  absl::Status ReadMerges(const Json& json);
  absl::Status ReadMerge(absl::string_view left, absl::string_view right, int32_t rank);
  void DecideOnCuts();
  absl::Status ReadOptions(const Json& json);
  void IndexCharacters();
  void FindWholeWords();

  absl::Status EncodeUncut(absl::string_view word, std::vector<int32_t>* ids) const;
  // The symbols that `word` starts as: characters, bytes or unknowns.
  absl::Status InitialSymbols(absl::string_view word, std::vector<int32_t>* symbols) const;
  int32_t CharacterId(absl::string_view word, size_t begin, size_t end) const;
  bool AppendFallbackBytes(absl::string_view bytes, std::vector<int32_t>* symbols) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;
  void MergeShort(std::vector<int32_t>* symbols) const;
  void MergeLong(std::vector<int32_t>* symbols) const;

  absl::flat_hash_map<std::string, int32_t> vocab_;
  std::vector<const std::string*> pieces_;  // by id; keys of vocab_
  absl::flat_hash_map<uint64_t, Merge> merges_;
  std::array<int32_t, 512> character_ids_ = {};  // for code points below 512; -1 is none
  std::array<int32_t, 256> byte_ids_ = {};       // "<0x00>".."<0xFF>"; -1 is none
  // By id: whether the piece, met as a word, encodes as itself; the answer for most words.
  std::vector<bool> is_whole_word_;
  // Nothing is ever merged across the beginning of a run of spaces (U+2581), so the parts of a word
  // between them can be encoded one by one: where a whole text is one word, most of the work.
  bool cuts_at_spaces_ = false;
  bool merges_into_spaces_ = false;  // some merge does

  std::optional<std::string> unk_token_;
  std::optional<int32_t> unk_id_;
  std::string prefix_, suffix_;
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

}  // namespace layercake
