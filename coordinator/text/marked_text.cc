#include "coordinator/text/marked_text.h"

#include "absl/strings/str_cat.h"

namespace layercake {

MarkedText MarkedText::Untrusted(std::string text) {
  MarkedText result(std::move(text));
  result.marks_.assign(result.size(), '\1');
  return result;
}

bool MarkedText::AnyUntrusted(size_t begin, size_t end) const {
  return !marks_.empty() &&
         absl::string_view(marks_).substr(begin, end - begin).find('\1') != absl::string_view::npos;
}

void MarkedText::Append(absl::string_view text, bool untrusted) {
  if (untrusted && marks_.empty()) marks_.assign(size(), '\0');
  absl::StrAppend(&text_, text);
  if (untrusted || !marks_.empty()) marks_.append(text.size(), untrusted ? '\1' : '\0');
}

void MarkedText::Append(const MarkedText& other, size_t begin, size_t end) {
  if (!other.AnyUntrusted(begin, end)) {
    Append(absl::string_view(other.text_).substr(begin, end - begin), false);
    return;
  }
  if (marks_.empty()) marks_.assign(size(), '\0');
  text_.append(other.text_, begin, end - begin);
  marks_.append(other.marks_, begin, end - begin);
}

MarkedText MarkedText::Substr(size_t begin, size_t end) const {
  MarkedText result;
  result.Append(*this, begin, end);
  return result;
}

}  // namespace layercake
