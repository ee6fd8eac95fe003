// The methods of texts, dicts and lists.

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
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/jinja/text_ops.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Method = Result (*)(const Value& self, const Arguments& arguments, Context& context);

Result StripMethod(absl::string_view name, Side side, const Value& self,
                   const Arguments& arguments) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind(name, arguments, {"chars"}));
  if (args[0].is_undefined() || args[0].is_none()) {
    return Value(Strip(self.text(), std::nullopt, side));
  }
  LC_ASSIGN_OR_RETURN(const std::string characters, TextOr(args[0], "", name));
  return Value(Strip(self.text(), characters, side));
}

Value ToList(std::vector<MarkedText> texts, Context& context) {
  List list;
  for (MarkedText& text : texts) list.emplace_back(std::move(text));
  return context.NewList(std::move(list));
}

Result SplitMethod(const Value& self, const Arguments& arguments, Context& context,
                   bool from_right) {
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
Result AffixMethod(const Value& self, const Arguments& arguments, bool at_start) {
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

Result RemoveAffix(const Value& self, const Arguments& arguments, bool prefix) {
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

Result FindText(const Value& self, const Arguments& arguments, bool from_right) {
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
Value AllOf(const Value& self, bool (*predicate)(char32_t)) {
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
Value HasOnlyCase(const Value& self, bool upper) {
  bool any = false;
  for (size_t pos = 0; pos < self.text().size();) {
    const CodePoint c = DecodeUtf8(self.str(), pos);
    if (upper ? IsLower(c.value) : IsUpper(c.value)) return Value::OfBool(false);
    any = any || (upper ? IsUpper(c.value) : IsLower(c.value));
    pos += c.length;
  }
  return Value::OfBool(any);
}

#define LC_METHOD [](const Value& self, const Arguments& a, Context& c) -> Result
struct NamedMethod {
  absl::string_view name;
  Method method;
};

constexpr std::array<NamedMethod, 29> kTextMethods = {{{"strip", LC_METHOD{(void)c;
return StripMethod("strip", Side::kBoth, self, a);
}  // namespace
}  // namespace layercake::jinja
, {"lstrip", LC_METHOD{(void)c;
return StripMethod("lstrip", Side::kLeft, self, a);
}
}
, {"rstrip", LC_METHOD{(void)c;
return StripMethod("rstrip", Side::kRight, self, a);
}
}
, {"split", LC_METHOD{return SplitMethod(self, a, c, false);
}
}
, {"rsplit", LC_METHOD{return SplitMethod(self, a, c, true);
}
}
, {"splitlines",
   LC_METHOD{LC_ASSIGN_OR_RETURN(const auto args, Bind("splitlines", a, {"keepends"}));
return ToList(SplitLines(self.text(), args[0].Truthy()), c);
}
}
, {"upper", LC_METHOD{(void)a;
(void)c;
return Value(ToCase(self.text(), Case::kUpper));
}
}
, {"lower", LC_METHOD{(void)a;
(void)c;
return Value(ToCase(self.text(), Case::kLower));
}
}
, {"title", LC_METHOD{(void)a;
(void)c;
return Value(ToCase(self.text(), Case::kTitle));
}
}
, {"capitalize", LC_METHOD{(void)a;
(void)c;
return Value(ToCase(self.text(), Case::kCapitalize));
}
}
, {"startswith", LC_METHOD{(void)c;
return AffixMethod(self, a, true);
}
}
, {"endswith", LC_METHOD{(void)c;
return AffixMethod(self, a, false);
}
}
, {"replace", &ReplaceMethod}, {"removeprefix", LC_METHOD{(void)c;
return RemoveAffix(self, a, true);
}
}
, {"removesuffix", LC_METHOD{(void)c;
return RemoveAffix(self, a, false);
}
}
, {"find", LC_METHOD{(void)c;
return FindText(self, a, false);
}
}
, {"rfind", LC_METHOD{(void)c;
return FindText(self, a, true);
}
}
, {"index", LC_METHOD{(void)c;
return FindText(self, a, false);
}
}
, {"count", &CountText}, {"join", &JoinMethod}, {"isdigit", LC_METHOD{(void)a;
(void)c;
return AllOf(self, &IsNumeric);
}
}
, {"isnumeric", LC_METHOD{(void)a;
(void)c;
return AllOf(self, &IsNumeric);
}
}
, {"isdecimal", LC_METHOD{(void)a;
(void)c;
return AllOf(self, &IsNumeric);
}
}
, {"isspace", LC_METHOD{(void)a;
(void)c;
return AllOf(self, &IsWhiteSpace);
}
}
, {"isalpha", LC_METHOD{(void)a;
(void)c;
return AllOf(self, &IsAlpha);
}
}
, {"isalnum", LC_METHOD{(void)a;
(void)c;
return AllOf(self, &IsAlnum);
}
}
, {"isupper", LC_METHOD{(void)a;
(void)c;
return HasOnlyCase(self, true);
}
}
, {"islower", LC_METHOD{(void)a;
(void)c;
return HasOnlyCase(self, false);
}
}
, {"zfill", LC_METHOD{LC_ASSIGN_OR_RETURN(const auto args, Bind("zfill", a, {"width"}, 1));
LC_ASSIGN_OR_RETURN(const int64_t width, IntOr(args[0], 0, "zfill"));
const int64_t missing = std::min<int64_t>(width, 1000) - CountCharacters(self.str());
MarkedText padded(std::string(static_cast<size_t>(std::max<int64_t>(missing, 0)), '0'));
(void)c;
padded.Append(self.text());
return Value(std::move(padded));
}
}
,
}
}
;

Result DictGet(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("get", arguments, {"key", "default"}, 1));
  if (const Value* member = self.dict().Find(args[0]); member != nullptr) return *member;
  return args[1].is_undefined() ? Value::OfNone() : args[1];
}

constexpr std::array<NamedMethod, 5> kDictMethods = {
    {{"get", &DictGet}, {"items", LC_METHOD{(void)a;
List items;
for (const auto& [key, value] : self.dict().items()) {
  items.push_back(c.NewList({key, value}));
}
LC_RETURN_IF_ERROR(c.Charge(static_cast<int64_t>(items.size()), 0));
return c.NewList(std::move(items));
}
}
, {"keys", LC_METHOD{(void)a;
LC_ASSIGN_OR_RETURN(List keys, Iterate(self, c));
return c.NewList(std::move(keys));
}
}
, {"values", LC_METHOD{(void)a;
List values;
for (const auto& [key, value] : self.dict().items()) values.push_back(value);
LC_RETURN_IF_ERROR(c.Charge(static_cast<int64_t>(values.size()), 0));
return c.NewList(std::move(values));
}
}
, {"copy", LC_METHOD{(void)a;
(void)c;
return self;
}
}
,
}
}
;

constexpr std::array<NamedMethod, 3> kListMethods = {{{"index", LC_METHOD{(void)c;
LC_ASSIGN_OR_RETURN(const auto args, Bind("index", a, {"value"}, 1));
const auto it = std::find(self.list().begin(), self.list().end(), args[0]);
if (it == self.list().end()) return absl::InvalidArgumentError("index(): no such item");
return Value::OfInt(it - self.list().begin());
}
}
, {"count", LC_METHOD{(void)c;
LC_ASSIGN_OR_RETURN(const auto args, Bind("count", a, {"value"}, 1));
return Value::OfInt(std::count(self.list().begin(), self.list().end(), args[0]));
}
}
, {"copy", LC_METHOD{(void)a;
(void)c;
return self;
}
}
,
}
}
;
#undef LC_METHOD

constexpr std::array<absl::string_view, 12> kChangingMethods = {
    "append", "extend", "insert",  "pop",        "remove",  "clear",
    "sort",   "update", "popitem", "setdefault", "reverse", "add"};

template <size_t size>
Method Find(const std::array<NamedMethod, size>& methods, absl::string_view name) {
  for (const NamedMethod& method : methods) {
    if (method.name == name) return method.method;
  }
  return nullptr;
}

Result Refuse(const Value& self, const Arguments&, Context&) {
  return absl::InvalidArgumentError(
      absl::StrCat("a chat template cannot change a ", self.TypeName(), "; use a namespace()"));
}

}  // namespace

std::optional<Value> FindMethod(const Value& value, absl::string_view name) {
  Method method = nullptr;
  if (value.is_text()) method = Find(kTextMethods, name);
  if (value.is_dict()) method = Find(kDictMethods, name);
  if (value.is_list()) method = Find(kListMethods, name);
  const bool changing =
      std::find(kChangingMethods.begin(), kChangingMethods.end(), name) != kChangingMethods.end();
  if (method == nullptr && (value.is_list() || value.is_dict()) && changing) method = &Refuse;
  if (method == nullptr) return std::nullopt;
  auto function = std::make_shared<Callable>();
  function->name = std::string(name);
  function->call = [self = value, method](Context& context, const Arguments& arguments) {
    return method(self, arguments, context);
  };
  return Value(Value::Holder(Value::Function(std::move(function))));
}

}  // namespace layercake::jinja
