#pragma once

// The kinds of DecodeStage. See PieceDecoder.

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "coordinator/text/piece_decoder.h"
#include "coordinator/text/utf8.h"

namespace layercake {

// The byte that a piece like "<0x0A>" stands for, else -1.
int FallbackByte(absl::string_view piece);

// Bytes written in GPT-2's alphabet; a piece with other characters stands for itself.
class ByteLevelStage : public DecodeStage {
 public:
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink next) override;

 private:
  Utf8Assembler assembler_;
};

// Pieces "<0x41>" are bytes. A run of them that is not UTF-8 gives one U+FFFD for each byte, so a
// run is held back until it ends.
class ByteFallbackStage : public DecodeStage {
 public:
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink next) override;

 private:
  std::string bytes_;
};

// Replaces within each piece.
class ReplaceStage : public DecodeStage {
 public:
  // `pattern` must outlive the stage.
  ReplaceStage(const Regex* pattern, std::string content)
      : pattern_(pattern), content_(std::move(content)) {}
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink) override {}

 private:
  const Regex* pattern_;
  std::string content_;
};

// Removes up to `start` characters `content` at the front and `stop` at the back: of every piece,
// or of the whole text.
class StripStage : public DecodeStage {
 public:
  StripStage(char32_t content, int64_t start, int64_t stop, bool whole_text)
      : content_(content), start_(start), stop_(stop), whole_text_(whole_text), to_strip_(start) {}
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink) override {}

 private:
  void Feed(absl::string_view piece, std::string* out);

  char32_t content_;
  int64_t start_, stop_;
  bool whole_text_;
  int64_t to_strip_;       // how many may still go at the front
  int64_t held_back_ = 0;  // how many at the back may yet prove to be the end
};

// A replacement character stands for a space, and for nothing in the first piece.
class MetaspaceStage : public DecodeStage {
 public:
  MetaspaceStage(char32_t replacement, bool strip_first)
      : replacement_(replacement), strip_first_(strip_first) {}
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink) override {}

 private:
  char32_t replacement_;
  bool strip_first_;
  bool first_ = true;
};

// A suffix marks the end of a word: a space, but in the last piece nothing.
class WordSuffixStage : public DecodeStage {
 public:
  explicit WordSuffixStage(std::string suffix) : suffix_(std::move(suffix)) {}
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink next) override;

 private:
  std::string suffix_;
  std::string last_;
};

// A space between pieces.
class SpaceJoinStage : public DecodeStage {
 public:
  std::unique_ptr<DecodeStage> Clone() const override;
  void Push(absl::string_view piece, Sink next) override;
  void Finish(Sink) override {}

 private:
  bool first_ = true;
};

}  // namespace layercake
