#pragma once

// Text to token ids and back, as Hugging Face tokenizers do it.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/marked_text.h"
#include "coordinator/text/piece_decoder.h"
#include "coordinator/text/post_processor.h"

namespace layercake {

class AddedTokens;
class BpeModel;
class Normalizer;
class PreTokenizer;

struct EncodeOptions {
  // Puts the special tokens around the text that the model expects (a BOS, say).
  bool add_special_tokens = true;
  // Reads special tokens that stand in the text; false takes them as plain text.
  bool parse_special = true;
};

// Immutable after loading and thread-safe.
class Tokenizer {
 public:
  // `path` is a tokenizer.json or a model directory that holds one. From the directory
  // tokenizer_config.json, special_tokens_map.json, generation_config.json and config.json are
  // read too, where present, for the names and ids of special tokens.
  // Errors: NotFound (no such file); DataLoss (malformed, saying what and where); Unimplemented
  // (a part this build cannot do, which is named).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& path);
  // From the text of a tokenizer.json. Errors: DataLoss, Unimplemented.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(absl::string_view json);

  ~Tokenizer();

  // The ids of `text`. Ill-formed UTF-8 is read as U+FFFD, one per maximal subpart.
  // Errors: ResourceExhausted (the file's regular expression gave up on the text); DataLoss (a
  // character unknown to a vocabulary that lacks its own unknown token).
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text,
                                              const EncodeOptions& options = {}) const;
  // The same for marked text: no control token is read that has an untrusted byte in it.
  absl::StatusOr<std::vector<int32_t>> Encode(const MarkedText& text,
                                              const EncodeOptions& options = {}) const;

  // The text of `ids`; ids outside the vocabulary are left out. For streams see Detokenizer.
  std::string Decode(absl::Span<const int32_t> ids, bool skip_special) const;

  // The piece as the vocabulary writes it; none when there is no such id.
  std::optional<std::string> IdToPiece(int32_t id) const;
  // The bytes that the token adds in the middle of a text; not always UTF-8 by themselves.
  std::string TokenBytes(int32_t id) const;
  std::optional<int32_t> TokenToId(absl::string_view piece) const;
  bool IsSpecial(int32_t id) const;

  // One past the largest id; the model's own vocab_size may be padded beyond it.
  int32_t vocab_size() const;
  std::optional<int32_t> bos_id() const { return bos_id_; }
  // All ids that end a text, ascending: the eos token's and those of generation_config.json (or,
  // without one, of config.json).
  const std::vector<int32_t>& eos_ids() const { return eos_ids_; }
  // Ids of all special tokens, ascending.
  std::vector<int32_t> special_ids() const;
  // "bos_token" -> "<s>" and so on, as far as the files name them.
  const std::map<std::string, std::string>& named_tokens() const { return named_tokens_; }

 private:
  friend class Detokenizer;

  Tokenizer();
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(const Json& json);
  absl::Status ReadCompanions(const std::string& directory);
  absl::Status ReadEosIds(const Json& json, absl::string_view where);
  absl::Status EncodeSegment(MarkedText text, bool at_start, bool take_special,
                             std::vector<int32_t>* ids) const;
  absl::Status EncodeWords(std::string text, bool at_start, std::vector<int32_t>* ids) const;
  // What `id` is decoded from; nullptr when unknown, or special and to be skipped.
  const std::string* DecodedPiece(int32_t id, bool skip_special) const;

  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<BpeModel> model_;
  std::unique_ptr<AddedTokens> added_tokens_;
  PostProcessor post_processor_;
  std::unique_ptr<PieceDecoder> decoder_;
  std::map<std::string, std::string> named_tokens_;
  std::optional<int32_t> bos_id_;
  std::vector<int32_t> eos_ids_;
};

}  // namespace layercake
