#include "coordinator/text/jinja/members.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/arguments.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/operators.h"
#include "coordinator/text/jinja/text_ops.h"

namespace layercake::jinja {
namespace {

Value LoopCycle(const LoopState* loop) {
  auto function = std::make_shared<Callable>();
  function->name = "cycle";
  function->call = [loop](Context&, const Arguments& arguments) -> absl::StatusOr<Value> {
    if (arguments.positional.empty()) {
      return absl::InvalidArgumentError("cycle() needs something to cycle through");
    }
    return arguments.positional[loop->index % arguments.positional.size()];
  };
  return Value(Value::Holder(Value::Function(std::move(function))));
}

Value LoopAttribute(const LoopState* loop, absl::string_view name) {
  const auto index = static_cast<int64_t>(loop->index);
  const auto length = static_cast<int64_t>(loop->items->size());
  const auto item = [&](int64_t i) {
    return i >= 0 && i < length ? (*loop->items)[static_cast<size_t>(i)]
                                : Value(Value::Holder(Undefined{std::string(name)}));
  };
  if (name == "index") return Value::OfInt(index + 1);
  if (name == "index0") return Value::OfInt(index);
  if (name == "revindex") return Value::OfInt(length - index);
  if (name == "revindex0") return Value::OfInt(length - index - 1);
  if (name == "first") return Value::OfBool(index == 0);
  if (name == "last") return Value::OfBool(index + 1 == length);
  if (name == "length") return Value::OfInt(length);
  if (name == "previtem") return item(index - 1);
  if (name == "nextitem") return item(index + 1);
  if (name == "depth") return Value::OfInt(1);
  if (name == "depth0") return Value::OfInt(0);
  if (name == "cycle") return LoopCycle(loop);
  return Value(Value::Holder(Undefined{absl::StrCat("loop.", name)}));
}

// One bound of a slice, clamped as Python does.
int64_t Clamp(int64_t bound, int64_t size, bool backwards) {
  if (bound < 0) bound += size;
  return std::clamp<int64_t>(bound, backwards ? -1 : 0, backwards ? size - 1 : size);
}

}  // namespace

absl::StatusOr<Value> GetAttribute(const Value& object, absl::string_view name, Context&) {
  if (object.is_undefined()) return UndefinedError(object);
  if (object.as_loop() != nullptr) return LoopAttribute(object.as_loop(), name);
  const Value* member = nullptr;
  if (const Namespace* space = object.as_namespace(); space != nullptr) {
    member = space->members.Find(name);
  } else if (auto method = FindMethod(object, name); method.has_value()) {
    return *std::move(method);
  } else if (object.is_dict()) {
    member = object.dict().Find(name);
  }
  if (member != nullptr) return *member;
  return Value(Value::Holder(Undefined{absl::StrCat(object.TypeName(), " object's ", name)}));
}

absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Context& context) {
  if (object.is_undefined()) return UndefinedError(object);
  if (object.is_dict()) {
    if (const Value* member = object.dict().Find(key); member != nullptr) return *member;
  } else if ((object.is_list() || object.is_text()) && (key.is_int() || key.is_bool())) {
    const auto size = object.is_list() ? static_cast<int64_t>(object.list().size())
                                       : CountCharacters(object.str());
    int64_t index = key.integer();
    if (index < 0) index += size;
    if (index >= 0 && index < size) {
      if (object.is_list()) return object.list()[static_cast<size_t>(index)];
      return GetSlice(object, Value::OfInt(index), Value::OfInt(index + 1), Value(), context);
    }
  }
  if (key.is_text()) return GetAttribute(object, key.str(), context);
  return Value(Value::Holder(
      Undefined{absl::StrCat(object.TypeName(), " object's item ", key.Repr().text())}));
}

absl::StatusOr<Value> GetSlice(const Value& object, const Value& start, const Value& stop,
                               const Value& step, Context& context) {
  if (object.is_undefined()) return UndefinedError(object);
  if (!object.is_list() && !object.is_text()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value of type ", object.TypeName(), " cannot be sliced"));
  }
  LC_ASSIGN_OR_RETURN(const int64_t by, IntOr(step, 1, "slice"));
  if (by == 0) return absl::InvalidArgumentError("a slice's step cannot be zero");
  LC_ASSIGN_OR_RETURN(const List items, Iterate(object, context));
  const auto size = static_cast<int64_t>(items.size());
  const bool backwards = by < 0;
  LC_ASSIGN_OR_RETURN(int64_t from, IntOr(start, backwards ? size - 1 : 0, "slice"));
  LC_ASSIGN_OR_RETURN(int64_t to, IntOr(stop, backwards ? -size - 1 : size, "slice"));
  from = Clamp(from, size, backwards);
  to = Clamp(to, size, backwards);
  List picked;
  picked.is_tuple = object.is_list() && object.list().is_tuple;
  MarkedText text;
  for (int64_t i = from; backwards ? i > to : i < to;) {
    const Value& item = items[static_cast<size_t>(i)];
    if (object.is_text()) {
      text.Append(item.text());
    } else {
      picked.push_back(item);
    }
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  return object.is_text() ? Value(std::move(text)) : context.NewList(std::move(picked));
}

absl::StatusOr<Value> GetPath(const Value& object, const Value& path, Context& context) {
  if (!path.is_text()) return GetItem(object, path, context);
  Value value = object;
  for (const absl::string_view part : absl::StrSplit(path.str(), '.')) {
    int64_t index = 0;
    const Value key =
        absl::SimpleAtoi(part, &index) ? Value::OfInt(index) : Value::OfText(std::string(part));
    LC_ASSIGN_OR_RETURN(value, GetItem(value, key, context));
  }
  return value;
}

}  // namespace layercake::jinja
