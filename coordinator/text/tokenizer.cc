#include "coordinator/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/added_tokens.h"
#include "coordinator/text/bpe.h"
#include "coordinator/text/byte_level.h"
#include "coordinator/text/normalizer.h"
#include "coordinator/text/pre_tokenizer.h"
#include "coordinator/text/utf8.h"

namespace layercake {

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(absl::string_view text,
                                                       const EncodeOptions& options) const {
  return Encode(MarkedText(IsValidUtf8(text) ? std::string(text) : ToValidUtf8(text)), options);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(const MarkedText& text,
                                                       const EncodeOptions& options) const {
  if (!IsValidUtf8(text.text())) {
    return absl::InvalidArgumentError("marked text that is not valid UTF-8");
  }
  std::vector<int32_t> ids;
  if (options.add_special_tokens) ids = post_processor_.prefix;
  for (const TextSegment& segment :
       added_tokens_->raw_matcher().Split(text, options.parse_special)) {
    if (segment.token != nullptr) {
      ids.push_back(segment.token->id);
    } else {
      LC_RETURN_IF_ERROR(EncodeSegment(text.Substr(segment.begin, segment.end), segment.begin == 0,
                                       options.parse_special, &ids));
    }
  }
  if (options.add_special_tokens) {
    ids.insert(ids.end(), post_processor_.suffix.begin(), post_processor_.suffix.end());
  }
  return ids;
}

absl::Status Tokenizer::EncodeSegment(MarkedText text, bool at_start, bool take_special,
                                      std::vector<int32_t>* ids) const {
  LC_RETURN_IF_ERROR(normalizer_->Apply(&text));
  for (const TextSegment& segment : added_tokens_->normalized_matcher().Split(text, take_special)) {
    if (segment.token != nullptr) {
      ids->push_back(segment.token->id);
    } else {
      LC_RETURN_IF_ERROR(EncodeWords(text.text().substr(segment.begin, segment.end - segment.begin),
                                     at_start && segment.begin == 0, ids));
    }
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeWords(std::string text, bool at_start,
                                    std::vector<int32_t>* ids) const {
  Words words;
  words.spans.push_back({0, text.size()});
  words.text = std::move(text);
  words.at_start = at_start;
  LC_RETURN_IF_ERROR(pre_tokenizer_->Apply(&words));
  for (const TextSpan span : words.spans) {
    LC_RETURN_IF_ERROR(model_->Encode(
        absl::string_view(words.text).substr(span.begin, span.end - span.begin), ids));
  }
  return absl::OkStatus();
}

const std::string* Tokenizer::DecodedPiece(int32_t id, bool skip_special) const {
  const AddedToken* added = added_tokens_->Find(id);
  const std::string* piece = added != nullptr ? &added->pattern : model_->PieceOf(id);
  if (piece == nullptr || (skip_special && added_tokens_->IsSpecialPiece(*piece))) return nullptr;
  return piece;
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special) const {
  std::string text;
  PieceDecoder::Stream stream = decoder_->Start();
  for (const int32_t id : ids) {
    const std::string* piece = DecodedPiece(id, skip_special);
    if (piece != nullptr) stream.Push(*piece, &text);
  }
  stream.Finish(&text);
  return text;
}

std::optional<std::string> Tokenizer::IdToPiece(int32_t id) const {
  const std::string* piece = DecodedPiece(id, /*skip_special=*/false);
  if (piece == nullptr) return std::nullopt;
  return *piece;
}

std::string Tokenizer::TokenBytes(int32_t id) const {
  const std::string* piece = DecodedPiece(id, /*skip_special=*/false);
  return piece == nullptr ? "" : decoder_->BytesOf(*piece);
}

std::optional<int32_t> Tokenizer::TokenToId(absl::string_view piece) const {
  const AddedToken* added = added_tokens_->Find(piece);
  return added != nullptr ? added->id : model_->IdOf(piece);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const AddedToken* added = added_tokens_->Find(id);
  return added != nullptr && added->special;
}

int32_t Tokenizer::vocab_size() const {
  return std::max(model_->id_limit(), added_tokens_->id_limit());
}

std::vector<int32_t> Tokenizer::special_ids() const {
  std::vector<int32_t> ids;
  for (const AddedToken* token : added_tokens_->All()) {
    if (token->special) ids.push_back(token->id);
  }
  return ids;
}

}  // namespace layercake
