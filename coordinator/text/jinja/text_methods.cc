// The methods of texts.

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/format.h"
#include "coordinator/text/jinja/methods.h"
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/jinja/text_ops.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;

struct NamedMethod {
  absl::string_view name;
  Method method;
};

template <Side side>
Result StripMethod(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("strip", arguments, {"chars"}));
  if (args[0].is_undefined() || args[0].is_none()) {
    return Value(Strip(self.text(), std::nullopt, side));
  }
  LC_ASSIGN_OR_RETURN(const std::string characters, TextOr(args[0], "", "strip"));
  return Value(Strip(self.text(), characters, side));
}

Value ToList(std::vector<MarkedText> texts, Context& context) {
  List list;
  for (MarkedText& text : texts) list.emplace_back(std::move(text));
  return context.NewList(std::move(list));
}

template <bool from_right>
Result SplitMethod(const Value& self, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("split", arguments, {"sep", "maxsplit"}));
  LC_ASSIGN_OR_RETURN(const int64_t max_splits, IntOr(args[1], -1, "split"));
  LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(self.text().size()), 0));
  if (args[0].is_undefined() || args[0].is_none()) {
    return ToList(SplitWords(self.text(), max_splits), context);
  }
  LC_ASSIGN_OR_RETURN(const std::string separator, TextOr(args[0], "", "split"));
  if (separator.empty()) return absl::InvalidArgumentError("split() needs a separator");
  return ToList(Split(self.text(), separator, max_splits, from_right), context);
}

// Whether a text begins (or ends) with one of the given ones.
template <bool at_start>
Result AffixMethod(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("startswith", arguments, {"prefix"}, 1));
  const auto matches = [&](const Value& affix) {
    return affix.is_text() && (at_start ? absl::StartsWith(self.str(), affix.str())
                                        : absl::EndsWith(self.str(), affix.str()));
  };
  if (args[0].is_list()) {
    return Value::OfBool(std::any_of(args[0].list().begin(), args[0].list().end(), matches));
  }
  if (!args[0].is_text()) {
    return absl::InvalidArgumentError(absl::StrCat(
        at_start ? "startswith" : "endswith", "() needs a string, not a ", args[0].TypeName()));
  }
  return Value::OfBool(matches(args[0]));
}

Result ReplaceMethod(const Value& self, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("replace", arguments, {"old", "new", "count"}, 2));
  LC_ASSIGN_OR_RETURN(const int64_t count, IntOr(args[2], -1, "replace"));
  if (!args[0].is_text() || !args[1].is_text()) {
    return absl::InvalidArgumentError("replace() needs two strings");
  }
  const int64_t growth = static_cast<int64_t>(self.text().size() + 1) *
                         static_cast<int64_t>(args[1].text().size() + 1);
  LC_RETURN_IF_ERROR(context.Charge(1, std::min<int64_t>(growth, int64_t{1} << 40) / 4));
  return Value(Replace(self.text(), args[0].str(), args[1].text(), count));
}

template <bool prefix>
Result RemoveAffix(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("removeprefix", arguments, {"affix"}, 1));
  LC_ASSIGN_OR_RETURN(const std::string affix, TextOr(args[0], "", "removeprefix"));
  const size_t size = self.text().size();
  if (prefix && absl::StartsWith(self.str(), affix)) {
    return Value(self.text().Substr(affix.size(), size));
  }
  if (!prefix && absl::EndsWith(self.str(), affix)) {
    return Value(self.text().Substr(0, size - affix.size()));
  }
  return self;
}

template <bool from_right>
Result FindText(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("find", arguments, {"sub"}, 1));
  LC_ASSIGN_OR_RETURN(const std::string wanted, TextOr(args[0], "", "find"));
  const size_t at = from_right ? self.str().rfind(wanted) : self.str().find(wanted);
  if (at == std::string::npos) return Value::OfInt(-1);
  return Value::OfInt(CountCharacters(absl::string_view(self.str()).substr(0, at)));
}

Result CountText(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("count", arguments, {"sub"}, 1));
  LC_ASSIGN_OR_RETURN(const std::string wanted, TextOr(args[0], "", "count"));
  if (wanted.empty()) return Value::OfInt(CountCharacters(self.str()) + 1);
  return Value::OfInt(static_cast<int64_t>(Split(self.text(), wanted, -1, false).size()) - 1);
}

Result JoinMethod(const Value& self, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("join", arguments, {"iterable"}, 1));
  LC_ASSIGN_OR_RETURN(const List items, Iterate(args[0], context));
  MarkedText joined;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_text()) return absl::InvalidArgumentError("join() needs strings");
    if (i > 0) joined.Append(self.text());
    joined.Append(items[i].text());
    LC_RETURN_IF_ERROR(
        context.Charge(1, static_cast<int64_t>(items[i].text().size() + self.text().size())));
  }
  return Value(std::move(joined));
}

// Whether the text is not empty and all its characters satisfy `predicate`.
template <bool (*predicate)(char32_t)>
Result AllOf(const Value& self, const Arguments&, Context&) {
  bool all = !self.text().empty();
  for (size_t pos = 0; all && pos < self.text().size();) {
    const CodePoint c = DecodeUtf8(self.str(), pos);
    all = predicate(c.value);
    pos += c.length;
  }
  return Value::OfBool(all);
}

bool IsAlpha(char32_t c) { return IsWordCharacter(c) && !IsNumeric(c) && c != '_'; }
bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }

// islower and isupper: at least one such character, and none of the other case.
template <bool upper>
Result HasOnlyCase(const Value& self, const Arguments&, Context&) {
  bool any = false;
  for (size_t pos = 0; pos < self.text().size();) {
    const CodePoint c = DecodeUtf8(self.str(), pos);
    if (upper ? IsLower(c.value) : IsUpper(c.value)) return Value::OfBool(false);
    any = any || (upper ? IsUpper(c.value) : IsLower(c.value));
    pos += c.length;
  }
  return Value::OfBool(any);
}

Result SplitLinesMethod(const Value& self, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("splitlines", arguments, {"keepends"}));
  return ToList(SplitLines(self.text(), args[0].Truthy()), context);
}

template <Case wanted>
Result RecaseMethod(const Value& self, const Arguments&, Context&) {
  return Value(ToCase(self.text(), wanted));
}

Result ZeroFill(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("zfill", arguments, {"width"}, 1));
  LC_ASSIGN_OR_RETURN(const int64_t width, IntOr(args[0], 0, "zfill"));
  const int64_t missing = std::min<int64_t>(width, 1000) - CountCharacters(self.str());
  MarkedText padded(std::string(static_cast<size_t>(std::max<int64_t>(missing, 0)), '0'));
  padded.Append(self.text());
  return Value(std::move(padded));
}

Result FormatMethod(const Value& self, const Arguments& arguments, Context& context) {
  return FormatBraces(self.text(), arguments, context);
}

constexpr std::array<NamedMethod, 30> kMethods = {{
    {"strip", &StripMethod<Side::kBoth>},
    {"lstrip", &StripMethod<Side::kLeft>},
    {"rstrip", &StripMethod<Side::kRight>},
    {"split", &SplitMethod<false>},
    {"rsplit", &SplitMethod<true>},
    {"splitlines", &SplitLinesMethod},
    {"upper", &RecaseMethod<Case::kUpper>},
    {"lower", &RecaseMethod<Case::kLower>},
    {"title", &RecaseMethod<Case::kTitle>},
    {"capitalize", &RecaseMethod<Case::kCapitalize>},
    {"startswith", &AffixMethod<true>},
    {"endswith", &AffixMethod<false>},
    {"replace", &ReplaceMethod},
    {"removeprefix", &RemoveAffix<true>},
    {"removesuffix", &RemoveAffix<false>},
    {"find", &FindText<false>},
    {"rfind", &FindText<true>},
    {"index", &FindText<false>},
    {"count", &CountText},
    {"join", &JoinMethod},
    {"format", &FormatMethod},
    {"zfill", &ZeroFill},
    {"isdigit", &AllOf<&IsNumeric>},
    {"isnumeric", &AllOf<&IsNumeric>},
    {"isdecimal", &AllOf<&IsNumeric>},
    {"isspace", &AllOf<&IsWhiteSpace>},
    {"isalpha", &AllOf<&IsAlpha>},
    {"isalnum", &AllOf<&IsAlnum>},
    {"isupper", &HasOnlyCase<true>},
    {"islower", &HasOnlyCase<false>},
}};

}  // namespace

Method FindTextMethod(absl::string_view name) {
  for (const NamedMethod& method : kMethods) {
    if (method.name == name) return method.method;
  }
  return nullptr;
}

}  // namespace layercake::jinja
