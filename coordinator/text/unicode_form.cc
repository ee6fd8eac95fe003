#include "coordinator/text/unicode_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "coordinator/text/utf8.h"

namespace layercake {
namespace {

utf8proc_option_t Options(UnicodeForm form) {
  const bool compose = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE |
                                        (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                        (compatible ? UTF8PROC_COMPAT : 0));
}

bool IsAscii(char c) { return static_cast<unsigned char>(c) < 0x80; }

int CombiningClass(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// utf8proc_decompose orders combining marks by swapping neighbours, which hostile text turns into
// hours of work; so the ordering is done here, and utf8proc only decomposes and composes.
void OrderCombiningMarks(std::vector<utf8proc_int32_t>* text) {
  for (auto begin = text->begin(); begin != text->end();) {
    if (CombiningClass(*begin) == 0) {
      ++begin;
      continue;
    }
    auto end = begin;
    while (end != text->end() && CombiningClass(*end) != 0) ++end;
    std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return CombiningClass(a) < CombiningClass(b);
    });
    begin = end;
  }
}

// Normalizes one stretch into `buffer` and returns it as bytes.
absl::string_view Convert(absl::string_view stretch, utf8proc_option_t options,
                          std::vector<utf8proc_int32_t>* buffer) {
  buffer->clear();
  for (size_t pos = 0; pos < stretch.size();) {
    const CodePoint c = DecodeUtf8(stretch, pos);
    pos += c.length;
    constexpr utf8proc_ssize_t kLongest = 32;  // the longest decomposition has 18 characters
    const size_t old_size = buffer->size();
    buffer->resize(old_size + kLongest);
    int last_boundary = 0;
    const auto length =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), buffer->data() + old_size,
                                kLongest, options, &last_boundary);
    CHECK(length >= 0 && length <= kLongest) << utf8proc_errmsg(length);
    buffer->resize(old_size + static_cast<size_t>(length));
  }
  OrderCombiningMarks(buffer);
  const auto length = static_cast<utf8proc_ssize_t>(buffer->size());
  buffer->push_back(0);  // room for the NUL that utf8proc_reencode writes behind the text
  const auto written = utf8proc_reencode(buffer->data(), length, options);
  CHECK_GE(written, 0) << utf8proc_errmsg(written);
  return {reinterpret_cast<const char*>(buffer->data()), static_cast<size_t>(written)};
}

}  // namespace

void ToUnicodeForm(UnicodeForm form, MarkedText* text) {
  const std::string& in = text->text();
  const utf8proc_option_t options = Options(form);
  MarkedText out;
  std::vector<utf8proc_int32_t> buffer;
  size_t copied = 0;  // bytes of `in` that are already in `out`
  bool changed = false;
  // No normalization reaches over an ASCII character from the left, so each stretch is one ASCII
  // character and the others that follow it.
  for (size_t pos = 0; pos < in.size();) {
    if (IsAscii(in[pos])) {
      ++pos;
      continue;
    }
    const size_t begin = pos == 0 ? 0 : pos - 1;
    while (pos < in.size() && !IsAscii(in[pos])) ++pos;
    const absl::string_view stretch = absl::string_view(in).substr(begin, pos - begin);
    const absl::string_view converted = Convert(stretch, options, &buffer);
    if (converted == stretch) continue;
    changed = true;
    out.Append(*text, copied, begin);
    out.Append(converted, text->AnyUntrusted(begin, pos));
    copied = pos;
  }
  if (!changed) return;
  out.Append(*text, copied, in.size());
  *text = std::move(out);
}

}  // namespace layercake
