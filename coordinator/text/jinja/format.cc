#include "coordinator/text/jinja/format.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"

namespace layercake::jinja {
namespace {

// One value written as `kind` says, with `precision` digits behind the point if >= 0.
absl::StatusOr<MarkedText> Convert(char kind, int precision, const Value& value) {
  if (kind == 's') return value.ToText();
  if (kind == 'r') return value.Repr();
  if (!value.is_number()) {
    return absl::InvalidArgumentError(
        absl::StrCat("%", std::string(1, kind), " needs a number, not a ", value.TypeName()));
  }
  if (kind == 'f') {
    return MarkedText(absl::StrFormat("%.*f", precision < 0 ? 6 : precision, value.number()));
  }
  const bool whole = !value.is_double();
  if (!whole && !(value.number() > -9e18 && value.number() < 9e18)) {
    return absl::InvalidArgumentError("a number beyond 64 bits");
  }
  const int64_t integer = whole ? value.integer() : static_cast<int64_t>(value.number());
  if (kind == 'x') return MarkedText(absl::StrFormat("%x", integer));
  return MarkedText(absl::StrCat(integer));
}

}  // namespace

absl::StatusOr<Value> FormatPercent(const MarkedText& format, const Value& values,
                                    Context& context) {
  const bool is_tuple = values.is_list() && values.list().is_tuple;
  const List list = is_tuple ? values.list() : List({values});
  const absl::string_view text = format.text();
  MarkedText out;
  size_t used = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t next = std::min(text.find('%', pos), text.size());
    out.Append(format, pos, next);
    if (next == text.size()) break;
    size_t at = next + 1;
    int precision = -1;
    if (at < text.size() && text[at] == '.') {
      precision = 0;
      for (++at; at < text.size() && absl::ascii_isdigit(text[at]); ++at) {
        precision = std::min(precision * 10 + (text[at] - '0'), 100);
      }
    }
    const char kind = at < text.size() ? text[at] : '\0';
    pos = at + 1;
    if (kind == '%') {
      out.Append("%", false);
      continue;
    }
    if (!absl::StrContains("srdifx", std::string(1, kind)) || kind == '\0') {
      return absl::InvalidArgumentError(
          absl::StrCat("the conversion '", text.substr(next, at + 1 - next), "' is not supported"));
    }
    if (used == list.size()) return absl::InvalidArgumentError("not enough values to format");
    LC_ASSIGN_OR_RETURN(const MarkedText piece, Convert(kind, precision, list[used++]));
    LC_RETURN_IF_ERROR(context.Charge(1, static_cast<int64_t>(piece.size())));
    out.Append(piece);
  }
  if (is_tuple && used < list.size()) {
    return absl::InvalidArgumentError("more values than the format takes");
  }
  return Value(std::move(out));
}

absl::StatusOr<Value> FormatBraces(const MarkedText& format, const Arguments& arguments,
                                   Context& context) {
  const absl::string_view text = format.text();
  MarkedText out;
  size_t automatic = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t next = std::min(text.find_first_of("{}", pos), text.size());
    out.Append(format, pos, next);
    if (next == text.size()) break;
    if (next + 1 < text.size() && text[next + 1] == text[next]) {
      out.Append(format, next, next + 1);
      pos = next + 2;
      continue;
    }
    const size_t end = text.find('}', next);
    if (text[next] == '}' || end == absl::string_view::npos) {
      return absl::InvalidArgumentError("format(): a single brace");
    }
    const absl::string_view field = text.substr(next + 1, end - next - 1);
    size_t index = field.empty() ? automatic++ : arguments.positional.size();
    const Value* value = nullptr;
    if (field.empty() || absl::SimpleAtoi(field, &index)) {
      if (index < arguments.positional.size()) value = &arguments.positional[index];
    }
    for (const auto& [name, named] : arguments.named) {
      if (name == field) value = &named;
    }
    if (value == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("format(): no value for '{", field, "}'"));
    }
    const MarkedText piece = value->ToText();
    LC_RETURN_IF_ERROR(context.Charge(1, static_cast<int64_t>(piece.size())));
    out.Append(piece);
    pos = end + 1;
  }
  return Value(std::move(out));
}

}  // namespace layercake::jinja
