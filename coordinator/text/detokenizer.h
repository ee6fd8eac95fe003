#pragma once

// Text as it grows, token by token.

#include <cstdint>
#include <string>

#include "coordinator/text/piece_decoder.h"
#include "coordinator/text/tokenizer.h"

namespace layercake {

// The detokenization of one sequence. The texts it returns, joined, are what Tokenizer::Decode
// makes of all ids at once. Work per token does not grow with the sequence.
// Not thread-safe; must not outlive its tokenizer.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(tokenizer), skip_special_(skip_special), stream_(tokenizer.decoder_->Start()) {}

  // The text that became certain with this token: whole characters only, often none. Ids outside
  // the vocabulary give none.
  std::string Push(int32_t id);
  // Ends the sequence and returns what was held back; an unfinished character is U+FFFD.
  // Nothing may be pushed afterwards.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  const bool skip_special_;
  PieceDecoder::Stream stream_;
};

}  // namespace layercake
