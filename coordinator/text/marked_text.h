#pragma once

// Text that remembers which of its bytes came from outside.
//
// A chat template mixes its own control tokens ("<|im_end|>") with what users typed. After the two
// are joined only this mark tells them apart, and the tokenizer uses it so that no control token is
// ever read out of untrusted bytes, however the template trimmed, split or joined them.

#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace layercake {

class MarkedText {
 public:
  MarkedText() = default;
  // All of `text` trusted.
  explicit MarkedText(std::string text) : text_(std::move(text)) {}
  static MarkedText Untrusted(std::string text);

  const std::string& text() const { return text_; }
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }

  bool has_untrusted() const { return !marks_.empty(); }
  // Whether any byte of [begin, end) is untrusted. REQUIRES: begin <= end <= size().
  bool AnyUntrusted(size_t begin, size_t end) const;

  void Append(absl::string_view text, bool untrusted);
  void Append(const MarkedText& other) { Append(other, 0, other.size()); }
  // Appends bytes [begin, end) of `other`. REQUIRES: `other` is not this object.
  void Append(const MarkedText& other, size_t begin, size_t end);
  MarkedText Substr(size_t begin, size_t end) const;

  friend bool operator==(const MarkedText& a, const MarkedText& b) {
    return a.text_ == b.text_ && a.AllMarks() == b.AllMarks();
  }

 private:
  std::string AllMarks() const { return marks_.empty() ? std::string(size(), '\0') : marks_; }

  std::string text_;
  // Empty when everything is trusted, else one byte per byte of text_: 1 is untrusted.
  std::string marks_;
};

}  // namespace layercake
