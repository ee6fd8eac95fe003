#include "coordinator/text/decode_stages.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "coordinator/text/byte_level.h"

namespace layercake {
int FallbackByte(absl::string_view piece) {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
    value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

std::unique_ptr<DecodeStage> ByteLevelStage::Clone() const {
  return std::make_unique<ByteLevelStage>(*this);
}

void ByteLevelStage::Push(absl::string_view piece, Sink next) {
  std::string text;
  const auto bytes = FromByteLevel(piece);
  assembler_.Push(bytes.has_value() ? absl::string_view(*bytes) : piece, &text);
  next(text);
}

void ByteLevelStage::Finish(Sink next) {
  std::string text;
  assembler_.Flush(&text);
  next(text);
}

std::unique_ptr<DecodeStage> ByteFallbackStage::Clone() const {
  return std::make_unique<ByteFallbackStage>(*this);
}

void ByteFallbackStage::Push(absl::string_view piece, Sink next) {
  if (const int byte = FallbackByte(piece); byte >= 0) {
    bytes_.push_back(static_cast<char>(byte));
    return;
  }
  Finish(next);
  next(piece);
}

void ByteFallbackStage::Finish(Sink next) {
  if (bytes_.empty()) return;
  if (IsValidUtf8(bytes_)) {
    next(bytes_);
  } else {
    for (size_t i = 0; i < bytes_.size(); ++i) next("\xEF\xBF\xBD");
  }
  bytes_.clear();
}

std::unique_ptr<DecodeStage> ReplaceStage::Clone() const {
  return std::make_unique<ReplaceStage>(*this);
}

void ReplaceStage::Push(absl::string_view piece, Sink next) {
  std::string text;
  const absl::Status status =
      pattern_->ForEachSpan(piece, [&](size_t begin, size_t end, bool is_match) {
        absl::StrAppend(&text,
                        is_match ? absl::string_view(content_) : piece.substr(begin, end - begin));
      });
  // A piece is short; should the pattern give up on one all the same, the piece stays as it is.
  next(status.ok() ? absl::string_view(text) : piece);
}

std::unique_ptr<DecodeStage> StripStage::Clone() const {
  return std::make_unique<StripStage>(*this);
}

void StripStage::Push(absl::string_view piece, Sink next) {
  if (!whole_text_) {
    to_strip_ = start_;
    held_back_ = 0;
  }
  std::string text;
  Feed(piece, &text);
  next(text);
}

void StripStage::Feed(absl::string_view piece, std::string* out) {
  for (size_t pos = 0; pos < piece.size();) {
    const CodePoint c = DecodeUtf8(piece, pos);
    const absl::string_view bytes = piece.substr(pos, c.length);
    pos += c.length;
    if (c.value != content_) {
      to_strip_ = 0;
      for (; held_back_ > 0; --held_back_) AppendUtf8(content_, out);
      absl::StrAppend(out, bytes);
    } else if (to_strip_ > 0) {
      --to_strip_;
    } else if (held_back_ < stop_) {
      ++held_back_;
    } else {
      absl::StrAppend(out, bytes);
    }
  }
}

std::unique_ptr<DecodeStage> MetaspaceStage::Clone() const {
  return std::make_unique<MetaspaceStage>(*this);
}

void MetaspaceStage::Push(absl::string_view piece, Sink next) {
  std::string text;
  for (size_t pos = 0; pos < piece.size();) {
    const CodePoint c = DecodeUtf8(piece, pos);
    if (c.value != replacement_) {
      absl::StrAppend(&text, piece.substr(pos, c.length));
    } else if (!first_ || !strip_first_) {
      text.push_back(' ');
    }
    pos += c.length;
  }
  first_ = false;
  next(text);
}

std::unique_ptr<DecodeStage> WordSuffixStage::Clone() const {
  return std::make_unique<WordSuffixStage>(*this);
}

void WordSuffixStage::Push(absl::string_view piece, Sink next) {
  if (!last_.empty()) next(absl::StrReplaceAll(last_, {{suffix_, " "}}));
  last_ = std::string(piece);
}

void WordSuffixStage::Finish(Sink next) {
  if (!last_.empty()) next(absl::StrReplaceAll(last_, {{suffix_, ""}}));
  last_.clear();
}

std::unique_ptr<DecodeStage> SpaceJoinStage::Clone() const {
  return std::make_unique<SpaceJoinStage>(*this);
}

void SpaceJoinStage::Push(absl::string_view piece, Sink next) {
  if (!first_) next(" ");
  first_ = false;
  next(piece);
}

}  // namespace layercake
