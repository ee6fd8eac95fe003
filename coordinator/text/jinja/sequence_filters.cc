// Filters on lists and dicts.

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/members.h"
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/jinja/text_ops.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result Length(const Value& value, const Arguments&, Context&) {
  if (value.is_text()) return Value::OfInt(CountCharacters(value.str()));
  if (value.is_list()) return Value::OfInt(static_cast<int64_t>(value.list().size()));
  if (value.is_dict()) return Value::OfInt(static_cast<int64_t>(value.dict().items().size()));
  if (value.is_undefined()) return Value::OfInt(0);
  return absl::InvalidArgumentError(absl::StrCat("a ", value.TypeName(), " has no length"));
}

Result Default(const Value& value, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("default", arguments, {"default_value", "boolean"}));
  const bool missing = value.is_undefined() || (args[1].Truthy() && !value.Truthy());
  if (!missing) return value;
  return args[0].is_undefined() ? Value::OfText("") : args[0];
}

Result First(const Value& value, const Arguments&, Context& context) {
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  return items.empty() ? Value(Value::Holder(Undefined{"the first of no items"})) : items.front();
}

Result Last(const Value& value, const Arguments&, Context& context) {
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  return items.empty() ? Value(Value::Holder(Undefined{"the last of no items"})) : items.back();
}

Result ToList(const Value& value, const Arguments&, Context& context) {
  LC_ASSIGN_OR_RETURN(List items, Iterate(value, context));
  return context.NewList(std::move(items));
}

Result Reverse(const Value& value, const Arguments&, Context& context) {
  LC_ASSIGN_OR_RETURN(List items, Iterate(value, context));
  std::reverse(items.begin(), items.end());
  if (!value.is_text()) return context.NewList(std::move(items));
  MarkedText text;
  for (const Value& item : items) text.Append(item.text());
  return Value(std::move(text));
}

Result Join(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("join", arguments, {"d", "attribute"}));
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  const MarkedText separator = args[0].ToText();
  MarkedText joined;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (!args[1].is_undefined()) {
      LC_ASSIGN_OR_RETURN(item, GetPath(item, args[1], context));
    }
    if (i > 0) joined.Append(separator);
    const MarkedText text = item.ToText();
    LC_RETURN_IF_ERROR(context.Charge(1, static_cast<int64_t>(text.size() + separator.size())));
    joined.Append(text);
  }
  return Value(std::move(joined));
}

// Case does not count, unless `case_sensitive`.
Value SortKey(const Value& value, bool case_sensitive) {
  return value.is_text() && !case_sensitive ? Value(ToCase(value.text(), Case::kLower)) : value;
}

// Sorts by keys that may turn out to have no order.
absl::Status SortBy(std::vector<std::pair<Value, Value>>* keyed, bool reverse) {
  absl::Status status;
  std::stable_sort(keyed->begin(), keyed->end(), [&](const auto& a, const auto& b) {
    if (a.first == b.first) return false;  // even where the type has no order
    const auto order = reverse ? Order(b.first, a.first) : Order(a.first, b.first);
    if (!order.ok()) status = order.status();
    return order.ok() && *order < 0;
  });
  return status;
}

// `items` with the key that each is sorted or compared by.
absl::StatusOr<std::vector<std::pair<Value, Value>>> WithKeys(const List& items,
                                                              const Value& attribute,
                                                              bool case_sensitive,
                                                              Context& context) {
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items) {
    Value key = item;
    if (!attribute.is_undefined() && !attribute.is_none()) {
      LC_ASSIGN_OR_RETURN(key, GetPath(item, attribute, context));
    }
    keyed.emplace_back(SortKey(key, case_sensitive), item);
  }
  return keyed;
}

Result Sort(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args,
                      Bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  LC_ASSIGN_OR_RETURN(auto keyed, WithKeys(items, args[2], args[1].Truthy(), context));
  LC_RETURN_IF_ERROR(SortBy(&keyed, args[0].Truthy()));
  List sorted;
  for (auto& [key, item] : keyed) sorted.push_back(std::move(item));
  return context.NewList(std::move(sorted));
}

Result DictSort(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args,
                      Bind("dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  if (!value.is_dict()) return absl::InvalidArgumentError("dictsort needs a dict");
  LC_ASSIGN_OR_RETURN(const std::string by, TextOr(args[1], "key", "dictsort"));
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, member] : value.dict().items()) {
    keyed.emplace_back(SortKey(by == "value" ? member : key, args[0].Truthy()),
                       context.NewTuple({key, member}));
  }
  LC_RETURN_IF_ERROR(SortBy(&keyed, args[2].Truthy()));
  List sorted;
  for (auto& [key, item] : keyed) sorted.push_back(std::move(item));
  return context.NewList(std::move(sorted));
}

Result Items(const Value& value, const Arguments&, Context& context) {
  if (value.is_undefined()) return context.NewList({});
  if (!value.is_dict()) return absl::InvalidArgumentError("items needs a dict");
  List items;
  for (const auto& [key, member] : value.dict().items()) {
    items.push_back(context.NewTuple({key, member}));
  }
  return context.NewList(std::move(items));
}

Result Unique(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("unique", arguments, {"case_sensitive", "attribute"}));
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  LC_ASSIGN_OR_RETURN(auto keyed, WithKeys(items, args[1], args[0].Truthy(), context));
  List seen, kept;
  for (auto& [key, item] : keyed) {
    LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(seen.size()), 0));
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) continue;
    seen.push_back(key);
    kept.push_back(std::move(item));
  }
  return context.NewList(std::move(kept));
}

template <bool largest>
Result Extreme(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("min", arguments, {"case_sensitive", "attribute"}));
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  LC_ASSIGN_OR_RETURN(auto keyed, WithKeys(items, args[1], args[0].Truthy(), context));
  if (keyed.empty()) return Value(Value::Holder(Undefined{"the extreme of no items"}));
  size_t best = 0;
  for (size_t i = 1; i < keyed.size(); ++i) {
    LC_ASSIGN_OR_RETURN(const int order, Order(keyed[i].first, keyed[best].first));
    if (largest ? order > 0 : order < 0) best = i;
  }
  return keyed[best].second;
}

Result Sum(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("sum", arguments, {"attribute", "start"}));
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  Value total = args[1].is_undefined() ? Value::OfInt(0) : args[1];
  for (const Value& item : items) {
    Value part = item;
    if (!args[0].is_undefined() && !args[0].is_none()) {
      LC_ASSIGN_OR_RETURN(part, GetPath(item, args[0], context));
    }
    LC_ASSIGN_OR_RETURN(total, Arithmetic("+", total, part, context));
  }
  return total;
}

struct NamedFilter {
  absl::string_view name;
  Filter filter;
};

constexpr std::array<NamedFilter, 16> kFilters = {{
    {"length", &Length},
    {"count", &Length},
    {"default", &Default},
    {"d", &Default},
    {"first", &First},
    {"last", &Last},
    {"list", &ToList},
    {"reverse", &Reverse},
    {"join", &Join},
    {"sort", &Sort},
    {"dictsort", &DictSort},
    {"items", &Items},
    {"unique", &Unique},
    {"min", &Extreme<false>},
    {"max", &Extreme<true>},
    {"sum", &Sum},
}};

}  // namespace

Filter FindSequenceFilter(absl::string_view name) {
  for (const NamedFilter& filter : kFilters) {
    if (filter.name == name) return filter.filter;
  }
  return nullptr;
}

}  // namespace layercake::jinja
