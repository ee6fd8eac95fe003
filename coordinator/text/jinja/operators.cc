#include "coordinator/text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/format.h"
#include "coordinator/text/jinja/text_ops.h"

namespace layercake::jinja {
namespace {

absl::Status TypeError(absl::string_view op, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right}) {
    if (value->is_undefined()) return UndefinedError(*value);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", op, "' does not go with ", left.TypeName(), " and ", right.TypeName()));
}

absl::StatusOr<Value> Integers(absl::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (op == "**") {
    const double power = std::pow(static_cast<double>(a), static_cast<double>(b));
    if (b < 0) return Value::OfDouble(power);
    overflow = !(std::fabs(power) < 9e15);  // exact in a double
    if (!overflow) result = static_cast<int64_t>(power);
  } else {
    if (b == 0) return absl::InvalidArgumentError("division by zero");
    if (a == std::numeric_limits<int64_t>::min() && b == -1) {
      overflow = true;
    } else if (op == "//") {
      result = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
    } else {
      result = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
    }
  }
  if (overflow) return absl::InvalidArgumentError("an integer beyond 64 bits");
  return Value::OfInt(result);
}

absl::StatusOr<Value> Numbers(absl::string_view op, const Value& left, const Value& right) {
  if (!left.is_double() && !right.is_double() && op != "/") {
    return Integers(op, left.integer(), right.integer());
  }
  const double a = left.number();
  const double b = right.number();
  if (op == "+") return Value::OfDouble(a + b);
  if (op == "-") return Value::OfDouble(a - b);
  if (op == "*") return Value::OfDouble(a * b);
  if (op == "**") return Value::OfDouble(std::pow(a, b));
  if (b == 0) return absl::InvalidArgumentError("division by zero");
  if (op == "/") return Value::OfDouble(a / b);
  if (op == "//") return Value::OfDouble(std::floor(a / b));
  return Value::OfDouble(a - b * std::floor(a / b));
}

absl::StatusOr<Value> Repeat(const Value& value, int64_t times, Context& context) {
  const int64_t count = std::max<int64_t>(times, 0);
  const auto size =
      static_cast<int64_t>(value.is_text() ? value.text().size() : value.list().size());
  if (size > 0 && count > std::numeric_limits<int32_t>::max() / size) {
    return absl::ResourceExhaustedError("a repetition that is too long");
  }
  LC_RETURN_IF_ERROR(value.is_text() ? context.Charge(count, size * count)
                                     : context.Charge(size * count, 0));
  MarkedText text;
  List list;
  for (int64_t i = 0; i < count && size > 0; ++i) {
    if (value.is_text()) {
      text.Append(value.text());
    } else {
      list.insert(list.end(), value.list().begin(), value.list().end());
    }
  }
  return value.is_text() ? Value(std::move(text)) : context.NewList(std::move(list));
}

absl::StatusOr<Value> Join(const MarkedText& left, const MarkedText& right, Context& context) {
  LC_RETURN_IF_ERROR(context.Charge(1, static_cast<int64_t>(left.size() + right.size())));
  MarkedText joined = left;
  joined.Append(right);
  return Value(std::move(joined));
}

}  // namespace

absl::Status UndefinedError(const Value& value) {
  return absl::InvalidArgumentError(absl::StrCat("'", value.undefined().name, "' is undefined"));
}

absl::StatusOr<Value> Arithmetic(absl::string_view op, const Value& left, const Value& right,
                                 Context& context) {
  if (op == "~") return Join(left.ToText(), right.ToText(), context);
  if (left.is_number() && right.is_number()) return Numbers(op, left, right);
  if (op == "+" && left.is_text() && right.is_text()) {
    return Join(left.text(), right.text(), context);
  }
  if (op == "+" && left.is_list() && right.is_list()) {
    LC_RETURN_IF_ERROR(
        context.Charge(static_cast<int64_t>(left.list().size() + right.list().size()), 0));
    List joined = left.list();
    joined.insert(joined.end(), right.list().begin(), right.list().end());
    return context.NewList(std::move(joined));
  }
  if (op == "*" && (left.is_text() || left.is_list()) && (right.is_int() || right.is_bool())) {
    return Repeat(left, right.integer(), context);
  }
  if (op == "*" && (right.is_text() || right.is_list()) && (left.is_int() || left.is_bool())) {
    return Repeat(right, left.integer(), context);
  }
  if (op == "%" && left.is_text()) return FormatPercent(left.text(), right, context);
  return TypeError(op, left, right);
}

absl::StatusOr<int> Order(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (left.is_double() || right.is_double()) {
      return (left.number() > right.number()) - (left.number() < right.number());
    }
    return (left.integer() > right.integer()) - (left.integer() < right.integer());
  }
  if (left.is_text() && right.is_text()) return left.str().compare(right.str());
  if (left.is_list() && right.is_list()) {
    for (size_t i = 0; i < std::min(left.list().size(), right.list().size()); ++i) {
      if (left.list()[i] == right.list()[i]) continue;
      // Lists that nest without end have no order; equality has looked no deeper than kMaxDepth.
      if (left.list()[i].is_list()) return TypeError("<", left.list()[i], right.list()[i]);
      return Order(left.list()[i], right.list()[i]);
    }
    return (left.list().size() > right.list().size()) - (left.list().size() < right.list().size());
  }
  return TypeError("<", left, right);
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item) {
  if (container.is_undefined()) return false;
  if (container.is_list()) {
    return std::find(container.list().begin(), container.list().end(), item) !=
           container.list().end();
  }
  if (container.is_dict()) return container.dict().Find(item) != nullptr;
  if (container.is_text() && item.is_text()) return absl::StrContains(container.str(), item.str());
  return TypeError("in", item, container);
}

absl::StatusOr<bool> Compare(absl::string_view op, const Value& left, const Value& right) {
  if (op == "==") return left == right;
  if (op == "!=") return !(left == right);
  if (op == "in") return Contains(right, left);
  if (op == "not in") {
    LC_ASSIGN_OR_RETURN(const bool contains, Contains(right, left));
    return !contains;
  }
  LC_ASSIGN_OR_RETURN(const int order, Order(left, right));
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

absl::StatusOr<List> Iterate(const Value& value, Context& context) {
  List items;
  if (value.is_list()) {
    items = value.list();
    items.is_tuple = false;
  } else if (value.is_dict()) {
    for (const auto& [key, member] : value.dict().items()) items.push_back(key);
  } else if (value.is_text()) {
    LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(value.text().size()), 0));
    for (MarkedText& character : Characters(value.text())) items.emplace_back(std::move(character));
  } else if (!value.is_undefined()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value of type ", value.TypeName(), " cannot be iterated over"));
  }
  LC_RETURN_IF_ERROR(context.Charge(static_cast<int64_t>(items.size()), 0));
  return items;
}

}  // namespace layercake::jinja
