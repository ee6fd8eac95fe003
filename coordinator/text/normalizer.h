#pragma once

// The `normalizer` of a tokenizer.json: rewrites text before it is cut into words.

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/marked_text.h"

namespace layercake {

// Immutable and thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites `text`; bytes made from untrusted bytes are untrusted.
  // REQUIRES: `text` is valid UTF-8.   Errors: ResourceExhausted (regular expression).
  virtual absl::Status Apply(MarkedText* text) const = 0;
};

// Reads NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, ByteLevel and
// Sequence; null gives a normalizer that changes nothing.
// Errors: DataLoss (malformed); Unimplemented (another type, which is named).
absl::StatusOr<std::unique_ptr<Normalizer>> MakeNormalizer(const Json& json);

}  // namespace layercake
