// Filters that apply other filters and tests to each item of a list.

#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/members.h"
#include "coordinator/text/jinja/operators.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// The arguments behind the first `count`.
Arguments Rest(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<long>(count));
  return rest;
}

// map('filter', arguments...) or map(attribute='path', default=...).
Result Map(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  List mapped;
  if (arguments.positional.empty()) {
    LC_ASSIGN_OR_RETURN(const auto args, Bind("map", arguments, {"attribute", "default"}, 1));
    for (const Value& item : items) {
      LC_ASSIGN_OR_RETURN(Value member, GetPath(item, args[0], context));
      mapped.push_back(member.is_undefined() && !args[1].is_undefined() ? args[1]
                                                                        : std::move(member));
    }
    return context.NewList(std::move(mapped));
  }
  LC_ASSIGN_OR_RETURN(const std::string name, TextOr(arguments.positional[0], "", "map"));
  const Filter filter = FindFilter(name);
  if (filter == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("there is no filter '", name, "'"));
  }
  const Context::Level level(context);  // map('map', ...) calls itself
  LC_RETURN_IF_ERROR(level.status());
  const Arguments rest = Rest(arguments, 1);
  for (const Value& item : items) {
    LC_ASSIGN_OR_RETURN(Value made, filter(item, rest, context));
    LC_RETURN_IF_ERROR(context.ChargeText(made));
    mapped.push_back(std::move(made));
  }
  return context.NewList(std::move(mapped));
}

// Keeps the items (or with `reject` the others) for which a test holds: of the item, or with
// `by_attribute` of the item's member that the first argument names.
template <bool reject, bool by_attribute>
Result Select(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const List items, Iterate(value, context));
  constexpr size_t kOwn = by_attribute ? 1 : 0;  // arguments before the test's name
  if (arguments.positional.size() < kOwn) {
    return absl::InvalidArgumentError("selectattr needs the name of an attribute");
  }
  Test test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > kOwn) {
    LC_ASSIGN_OR_RETURN(const std::string name, TextOr(arguments.positional[kOwn], "", "select"));
    test = FindTest(name);
    if (test == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("there is no test '", name, "'"));
    }
    rest = Rest(arguments, kOwn + 1);
  }
  List kept;
  for (const Value& item : items) {
    Value tested = item;
    if constexpr (by_attribute) {
      LC_ASSIGN_OR_RETURN(tested, GetPath(item, arguments.positional[0], context));
    }
    bool holds = tested.Truthy();
    if (test != nullptr) {
      LC_ASSIGN_OR_RETURN(holds, test(tested, rest));
    }
    if (holds != reject) kept.push_back(item);
  }
  return context.NewList(std::move(kept));
}

Result Attribute(const Value& value, const Arguments& arguments, Context& context) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("attr", arguments, {"name"}, 1));
  LC_ASSIGN_OR_RETURN(const std::string name, TextOr(args[0], "", "attr"));
  return GetAttribute(value, name, context);
}

struct NamedFilter {
  absl::string_view name;
  Filter filter;
};

constexpr std::array<NamedFilter, 6> kFilters = {{
    {"map", &Map},
    {"select", &Select<false, false>},
    {"reject", &Select<true, false>},
    {"selectattr", &Select<false, true>},
    {"rejectattr", &Select<true, true>},
    {"attr", &Attribute},
}};

}  // namespace

Filter FindSelectFilter(absl::string_view name) {
  for (const NamedFilter& filter : kFilters) {
    if (filter.name == name) return filter.filter;
  }
  return nullptr;
}

}  // namespace layercake::jinja
