#include "coordinator/text/piece_decoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/byte_level.h"
#include "coordinator/text/decode_stages.h"
#include "coordinator/text/pattern_json.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

constexpr int kMaxNesting = 16;

absl::StatusOr<char32_t> ReadCharacter(const Json& json, absl::string_view name,
                                       absl::string_view where) {
  LC_ASSIGN_OR_RETURN(const std::string text, RequireString(json, name, where));
  if (text.empty() || DecodeUtf8(text, 0).length != text.size()) {
    return absl::DataLossError(
        absl::StrCat(where, ": '", name, "' is '", text, "', not one character"));
  }
  return DecodeUtf8(text, 0).value;
}

}  // namespace

void PieceDecoder::Stream::PushInto(size_t stage, absl::string_view piece, std::string* out) {
  if (stage == stages_.size()) {
    absl::StrAppend(out, piece);
    return;
  }
  stages_[stage]->Push(piece, [&](absl::string_view made) { PushInto(stage + 1, made, out); });
}

void PieceDecoder::Stream::Finish(std::string* out) {
  for (size_t i = 0; i < stages_.size(); ++i) {
    stages_[i]->Finish([&](absl::string_view made) { PushInto(i + 1, made, out); });
  }
}

PieceDecoder::Stream PieceDecoder::Start() const {
  Stream stream;
  for (const auto& prototype : prototypes_) stream.stages_.push_back(prototype->Clone());
  return stream;
}

std::string PieceDecoder::BytesOf(absl::string_view piece) const {
  if (byte_level_) return FromByteLevel(piece).value_or(std::string(piece));
  if (const int byte = byte_fallback_ ? FallbackByte(piece) : -1; byte >= 0) {
    return std::string(1, static_cast<char>(byte));
  }
  // Some stages treat the first piece apart, so another one goes before.
  std::string text;
  Stream stream = Start();
  stream.Push("x", &text);
  stream.Push(piece, &text);
  stream.Finish(&text);
  return text.substr(std::min<size_t>(1, text.size()));
}

absl::StatusOr<std::unique_ptr<PieceDecoder>> PieceDecoder::Create(const Json& json) {
  std::unique_ptr<PieceDecoder> decoder(new PieceDecoder());
  if (json.is_null()) {
    decoder->prototypes_.push_back(std::make_unique<SpaceJoinStage>());
  } else {
    LC_RETURN_IF_ERROR(decoder->Add(json, 0));
  }
  return decoder;
}

absl::Status PieceDecoder::RequireSeparatePieces(absl::string_view type) const {
  if (!fused_) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(
      "decoder '", type, "' behind one that joins all pieces cannot stream in this build"));
}

absl::Status PieceDecoder::Add(const Json& json, int nesting) {
  if (nesting > kMaxNesting) {
    return absl::DataLossError("decoder: Sequences are nested too deeply");
  }
  LC_ASSIGN_OR_RETURN(const std::string type, RequireString(json, "type", "decoder"));
  if (type == "Sequence") return AddSequence(json, nesting);
  if (type == "Strip") return AddStrip(json);
  if (type == "Fuse") {
    fused_ = true;
    return absl::OkStatus();
  }
  LC_RETURN_IF_ERROR(RequireSeparatePieces(type));
  if (type == "Replace") return AddReplace(json);
  if (type == "Metaspace") return AddMetaspace(json);
  if (type == "ByteLevel") {
    prototypes_.push_back(std::make_unique<ByteLevelStage>());
    fused_ = byte_level_ = true;
    return absl::OkStatus();
  }
  if (type == "ByteFallback") {
    prototypes_.push_back(std::make_unique<ByteFallbackStage>());
    byte_fallback_ = true;
    return absl::OkStatus();
  }
  if (type == "BPEDecoder") {
    LC_ASSIGN_OR_RETURN(std::string suffix, RequireString(json, "suffix", "decoder BPEDecoder"));
    prototypes_.push_back(std::make_unique<WordSuffixStage>(std::move(suffix)));
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat("decoder '", type, "' is not supported by this build"));
}

absl::Status PieceDecoder::AddSequence(const Json& json, int nesting) {
  LC_ASSIGN_OR_RETURN(const Json* list, RequireMember(json, "decoders", "decoder Sequence"));
  if (!list->is_array()) return absl::DataLossError("decoder Sequence: not a list");
  for (const Json& item : *list) LC_RETURN_IF_ERROR(Add(item, nesting + 1));
  return absl::OkStatus();
}

absl::Status PieceDecoder::AddReplace(const Json& json) {
  constexpr absl::string_view kWhere = "decoder Replace";
  LC_ASSIGN_OR_RETURN(Regex pattern, ReadPattern(json, kWhere));
  LC_ASSIGN_OR_RETURN(std::string content, RequireString(json, "content", kWhere));
  patterns_.push_back(std::make_unique<const Regex>(std::move(pattern)));
  prototypes_.push_back(std::make_unique<ReplaceStage>(patterns_.back().get(), std::move(content)));
  return absl::OkStatus();
}

absl::Status PieceDecoder::AddStrip(const Json& json) {
  constexpr absl::string_view kWhere = "decoder Strip";
  LC_ASSIGN_OR_RETURN(const char32_t content, ReadCharacter(json, "content", kWhere));
  LC_ASSIGN_OR_RETURN(const int64_t start, RequireInt(json, "start", kWhere));
  LC_ASSIGN_OR_RETURN(const int64_t stop, RequireInt(json, "stop", kWhere));
  if (start < 0 || stop < 0) {
    return absl::DataLossError(absl::StrCat(kWhere, ": start ", start, ", stop ", stop));
  }
  prototypes_.push_back(std::make_unique<StripStage>(content, start, stop, fused_));
  return absl::OkStatus();
}

absl::Status PieceDecoder::AddMetaspace(const Json& json) {
  constexpr absl::string_view kWhere = "decoder Metaspace";
  LC_ASSIGN_OR_RETURN(const char32_t replacement, ReadCharacter(json, "replacement", kWhere));
  LC_ASSIGN_OR_RETURN(const auto scheme, OptionalString(json, "prepend_scheme", kWhere));
  LC_ASSIGN_OR_RETURN(const bool add_space, BoolOr(json, "add_prefix_space", true, kWhere));
  const bool never = scheme.has_value() ? *scheme == "never" : !add_space;
  prototypes_.push_back(std::make_unique<MetaspaceStage>(replacement, !never));
  return absl::OkStatus();
}

}  // namespace layercake
