#pragma once

// The `decoder` of a tokenizer.json: from pieces of the vocabulary back to text, as a stream.

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/regex.h"

namespace layercake {

// One step of decoding, with the state of one stream. What it passes on is complete: never half a
// character, and never anything that a later piece could still change.
class DecodeStage {
 public:
  using Sink = absl::FunctionRef<void(absl::string_view)>;
  virtual ~DecodeStage() = default;
  virtual std::unique_ptr<DecodeStage> Clone() const = 0;
  virtual void Push(absl::string_view piece, Sink next) = 0;
  // The stream ends: passes on what was held back.
  virtual void Finish(Sink next) = 0;
};

// Immutable and thread-safe.
class PieceDecoder {
 public:
  // The decoding of one sequence of pieces. Must not outlive its PieceDecoder.
  class Stream {
   public:
    void Push(absl::string_view piece, std::string* out) { PushInto(0, piece, out); }
    void Finish(std::string* out);

   private:
    friend class PieceDecoder;
    void PushInto(size_t stage, absl::string_view piece, std::string* out);
    std::vector<std::unique_ptr<DecodeStage>> stages_;
  };

  // Reads ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder and Sequence; null
  // puts a space between pieces.
  // Errors: DataLoss (malformed); Unimplemented (another type, which is named, or one that cannot
  // stream in the place it stands).
  static absl::StatusOr<std::unique_ptr<PieceDecoder>> Create(const Json& json);

  Stream Start() const;
  // The bytes that `piece` adds in the middle of a text.
  std::string BytesOf(absl::string_view piece) const;

 private:
  PieceDecoder() = default;
  absl::Status Add(const Json& json, int nesting);
  absl::Status AddSequence(const Json& json, int nesting);
  absl::Status AddReplace(const Json& json);
  absl::Status AddStrip(const Json& json);
  absl::Status AddMetaspace(const Json& json);
  absl::Status RequireSeparatePieces(absl::string_view type) const;

  std::vector<std::unique_ptr<DecodeStage>> prototypes_;
  std::vector<std::unique_ptr<const Regex>> patterns_;
  // Whether an earlier stage joined all pieces into one.
  bool fused_ = false;
  bool byte_level_ = false;
  bool byte_fallback_ = false;
};

}  // namespace layercake
