// The methods of dicts and lists, and how methods are bound.

#include "coordinator/text/jinja/methods.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/operators.h"

namespace layercake::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result DictGet(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("get", arguments, {"key", "default"}, 1));
  if (const Value* member = self.dict().Find(args[0]); member != nullptr) return *member;
  return args[1].is_undefined() ? Value::OfNone() : args[1];
}

Result DictItems(const Value& self, const Arguments&, Context& context) {
  List items;
  for (const auto& [key, value] : self.dict().items()) {
    items.push_back(context.NewTuple({key, value}));
  }
  LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(items.size()), 0));
  return context.NewList(std::move(items));
}

Result DictKeys(const Value& self, const Arguments&, Context& context) {
  LC_ASSIGN_OR_RETURN(List keys, Iterate(self, context));
  return context.NewList(std::move(keys));
}

Result DictValues(const Value& self, const Arguments&, Context& context) {
  List values;
  for (const auto& [key, value] : self.dict().items()) values.push_back(value);
  LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(values.size()), 0));
  return context.NewList(std::move(values));
}

// Nothing can change, so a copy is the thing itself.
Result Copy(const Value& self, const Arguments&, Context&) { return self; }

Result ListIndex(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("index", arguments, {"value"}, 1));
  const auto it = std::find(self.list().begin(), self.list().end(), args[0]);
  if (it == self.list().end()) return absl::InvalidArgumentError("index(): no such item");
  return Value::OfInt(it - self.list().begin());
}

Result ListCount(const Value& self, const Arguments& arguments, Context&) {
  LC_ASSIGN_OR_RETURN(const auto args, Bind("count", arguments, {"value"}, 1));
  return Value::OfInt(std::count(self.list().begin(), self.list().end(), args[0]));
}

Result Refuse(const Value& self, const Arguments&, Context&) {
  return absl::InvalidArgumentError(
      absl::StrCat("a chat template cannot change a ", self.TypeName(), "; use a namespace()"));
}

struct NamedMethod {
  absl::string_view name;
  Method method;
};

constexpr std::array<NamedMethod, 10> kDictMethods = {{
    {"get", &DictGet},
    {"items", &DictItems},
    {"keys", &DictKeys},
    {"values", &DictValues},
    {"copy", &Copy},
    {"clear", &Refuse},
    {"pop", &Refuse},
    {"popitem", &Refuse},
    {"setdefault", &Refuse},
    {"update", &Refuse},
}};

constexpr std::array<NamedMethod, 11> kListMethods = {{
    {"index", &ListIndex},
    {"count", &ListCount},
    {"copy", &Copy},
    {"append", &Refuse},
    {"clear", &Refuse},
    {"extend", &Refuse},
    {"insert", &Refuse},
    {"pop", &Refuse},
    {"remove", &Refuse},
    {"reverse", &Refuse},
    {"sort", &Refuse},
}};

template <size_t size>
Method Find(const std::array<NamedMethod, size>& methods, absl::string_view name) {
  for (const NamedMethod& method : methods) {
    if (method.name == name) return method.method;
  }
  return nullptr;
}

}  // namespace

std::optional<Value> FindMethod(const Value& value, absl::string_view name) {
  const Method method = value.is_text()   ? FindTextMethod(name)
                        : value.is_dict() ? Find(kDictMethods, name)
                        : value.is_list() ? Find(kListMethods, name)
                                          : nullptr;
  if (method == nullptr) return std::nullopt;
  auto function = std::make_shared<Callable>();
  function->name = std::string(name);
  function->call = [self = value, method](Context& context, const Arguments& arguments) {
    return method(self, arguments, context);
  };
  return Value(Value::Holder(Value::Function(std::move(function))));
}

}  // namespace layercake::jinja
