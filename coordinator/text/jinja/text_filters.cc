// Filters that make texts and numbers.

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/format.h"
#include "coordinator/text/jinja/json_values.h"
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/jinja/text_ops.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result FormatFilter(const Value& value, const Arguments& arguments, Context& context) {
  List values(arguments.positional.begin(), arguments.positional.end());
  return FormatPercent(value.ToText(), context.NewTuple(std::move(values)), context);
}

Result Trim(const Value& value, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("trim", arguments, {"chars"}));
  const MarkedText text = value.ToText();
  if (args[0].is_undefined() || args[0].is_none()) {
    return Value(Strip(text, std::nullopt, Side::kBoth));
  }
  LC_ASSIGN_OR_RETURN(const std::string characters, TextOr(args[0], "", "trim"));
  return Value(Strip(text, characters, Side::kBoth));
}

template <Case wanted>
Result Recase(const Value& value, const Arguments&, Context&) {
  return Value(ToCase(value.ToText(), wanted));
}

Result ReplaceFilter(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("replace", arguments, {"old", "new", "count"}, 2));
  LC_ASSIGN_OR_RETURN(const int64_t count, IntOr(args[2], -1, "replace"));
  const MarkedText text = value.ToText();
  const MarkedText with = args[1].ToText();
  const double growth = static_cast<double>(text.size() + 1) * static_cast<double>(with.size() + 1);
  LC_RETURN_IF_ERROR(context.Charge(1, static_cast<int64_t>(std::min(growth, 1e12) / 4)));
  return Value(Replace(text, args[0].ToText().text(), with, count));
}

Result Escape(const Value& value, const Arguments&, Context&) {
  MarkedText text = value.ToText();
  constexpr std::array<std::array<const char*, 2>, 5> kEscapes = {
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}}};
  for (const auto& [from, to] : kEscapes) {
    text = Replace(text, from, MarkedText(std::string(to)), -1);
  }
  return Value(std::move(text));
}

Result Indent(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("indent", arguments, {"width", "first", "blank"}));
  MarkedText indentation;
  if (args[0].is_text()) {
    indentation = args[0].text();
  } else {
    LC_ASSIGN_OR_RETURN(const int64_t width, IntOr(args[0], 4, "indent"));
    indentation =
        MarkedText(std::string(static_cast<size_t>(std::clamp<int64_t>(width, 0, 1000)), ' '));
  }
  MarkedText out;
  const std::vector<MarkedText> lines = Split(value.ToText(), "\n", -1, false);
  LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(lines.size()),
                                    static_cast<int64_t>(lines.size() * indentation.size())));
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n", false);
    const bool indented = i == 0 ? args[1].Truthy() : args[2].Truthy() || !lines[i].empty();
    if (indented) out.Append(indentation);
    out.Append(lines[i]);
  }
  return Value(std::move(out));
}

Result ToJsonFilter(const Value& value, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("tojson", arguments,
                                            {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = args[0].Truthy();
  style.sort_keys = args[3].Truthy();
  if (!args[1].is_undefined() && !args[1].is_none()) {
    LC_ASSIGN_OR_RETURN(const int64_t indent, IntOr(args[1], 0, "tojson"));
    style.indent = static_cast<int>(std::clamp<int64_t>(indent, 0, 100));
    style.item_separator = std::string(",");
  }
  if (args[2].is_list() && args[2].list().size() == 2) {
    style.item_separator = args[2].list()[0].ToText().text();
    style.key_separator = args[2].list()[1].ToText().text();
  }
  LC_ASSIGN_OR_RETURN(MarkedText json, ToJson(value, style));
  return Value(std::move(json));
}

Result ToString(const Value& value, const Arguments&, Context&) { return Value(value.ToText()); }

Result ToInt(const Value& value, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("int", arguments, {"default", "base"}));
  if (value.is_int() || value.is_bool()) return Value::OfInt(value.integer());
  double number = 0;
  int64_t integer = 0;
  if (value.is_text() && absl::SimpleAtoi(value.str(), &integer)) return Value::OfInt(integer);
  const bool readable =
      value.is_double() || (value.is_text() && absl::SimpleAtod(value.str(), &number));
  if (value.is_double()) number = value.number();
  if (readable && std::fabs(number) < 9e18) return Value::OfInt(static_cast<int64_t>(number));
  return args[0].is_undefined() ? Value::OfInt(0) : args[0];
}

Result ToFloat(const Value& value, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("float", arguments, {"default"}));
  double number = 0;
  if (value.is_number()) return Value::OfDouble(value.number());
  if (value.is_text() && absl::SimpleAtod(value.str(), &number)) return Value::OfDouble(number);
  return args[0].is_undefined() ? Value::OfDouble(0) : args[0];
}

absl::Status RequireNumber(const Value& value, absl::string_view filter) {
  if (value.is_number()) return absl::OkStatus();
  if (value.is_undefined()) return UndefinedError(value);
  return absl::InvalidArgumentError(
      absl::StrCat(filter, " needs a number, not a ", value.TypeName()));
}

Result Abs(const Value& value, const Arguments&, Context& context) {
  LC_RETURN_IF_ERROR(RequireNumber(value, "abs"));
  if (value.number() >= 0) return value;
  return Arithmetic("-", Value::OfInt(0), value, context);
}

Result Round(const Value& value, const Arguments& arguments, Context&) {
  LC_RETURN_IF_ERROR(RequireNumber(value, "round"));
  LC_ASSIGN_OR_RETURN(const auto args, Bind("round", arguments, {"precision", "method"}));
  LC_ASSIGN_OR_RETURN(const int64_t precision, IntOr(args[0], 0, "round"));
  LC_ASSIGN_OR_RETURN(const std::string method, TextOr(args[1], "common", "round"));
  const double scale = std::pow(10.0, static_cast<double>(std::clamp<int64_t>(precision, -15, 15)));
  const double scaled = value.number() * scale;
  const double rounded = method == "ceil"    ? std::ceil(scaled)
                         : method == "floor" ? std::floor(scaled)
                                             : std::nearbyint(scaled);
  return Value::OfDouble(rounded / scale);
}

struct NamedFilter {
  absl::string_view name;
  Filter filter;
};

constexpr std::array<NamedFilter, 18> kFilters = {{
    {"trim", &Trim},
    {"upper", &Recase<Case::kUpper>},
    {"lower", &Recase<Case::kLower>},
    {"title", &Recase<Case::kTitle>},
    {"capitalize", &Recase<Case::kCapitalize>},
    {"replace", &ReplaceFilter},
    {"e", &Escape},
    {"escape", &Escape},
    {"forceescape", &Escape},
    {"safe", &ToString},
    {"string", &ToString},
    {"indent", &Indent},
    {"tojson", &ToJsonFilter},
    {"int", &ToInt},
    {"float", &ToFloat},
    {"abs", &Abs},
    {"round", &Round},
    {"format", &FormatFilter},
}};

}  // namespace

Filter FindTextFilter(absl::string_view name) {
  for (const NamedFilter& filter : kFilters) {
    if (filter.name == name) return filter.filter;
  }
  return nullptr;
}

Filter FindFilter(absl::string_view name) {
  if (Filter filter = FindTextFilter(name); filter != nullptr) return filter;
  if (Filter filter = FindSequenceFilter(name); filter != nullptr) return filter;
  return FindSelectFilter(name);
}

}  // namespace layercake::jinja
