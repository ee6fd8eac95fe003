#include "coordinator/text/detokenizer.h"

namespace layercake {

std::string Detokenizer::Push(int32_t id) {
  std::string text;
  const std::string* piece = tokenizer_.DecodedPiece(id, skip_special_);
  if (piece != nullptr) stream_.Push(*piece, &text);
  return text;
}

std::string Detokenizer::Flush() {
  std::string text;
  stream_.Finish(&text);
  return text;
}

}  // namespace layercake
