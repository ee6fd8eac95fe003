#include "coordinator/text/jinja/expressions.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/members.h"
#include "coordinator/text/jinja/operators.h"

namespace layercake::jinja {

using Result = absl::StatusOr<Value>;

Result Expression::Evaluate(Context& context) const {
  const Context::Level level(context);
  absl::Status status = level.status();
  if (status.ok()) status = context.Charge(1, 0);
  if (!status.ok()) return WithLine(line_, status);
  Result value = DoEvaluate(context);
  if (!value.ok()) return WithLine(line_, value.status());
  return value;
}

absl::StatusOr<Arguments> ArgumentNodes::Evaluate(Context& context) const {
  Arguments arguments;
  for (const ExpressionPtr& node : positional) {
    LC_ASSIGN_OR_RETURN(Value value, node->Evaluate(context));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, node] : named) {
    LC_ASSIGN_OR_RETURN(Value value, node->Evaluate(context));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (more_positional != nullptr) {
    LC_ASSIGN_OR_RETURN(const Value list, more_positional->Evaluate(context));
    LC_ASSIGN_OR_RETURN(const List items, Iterate(list, context));
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
  }
  if (more_named != nullptr) {
    LC_ASSIGN_OR_RETURN(const Value dict, more_named->Evaluate(context));
    if (!dict.is_dict()) return absl::InvalidArgumentError("** needs a dict");
    for (const auto& [key, value] : dict.dict().items()) {
      arguments.named.emplace_back(key.ToText().text(), value);
    }
  }
  return arguments;
}

Result FilterNode::Apply(Value value, Context& context) const {
  LC_ASSIGN_OR_RETURN(const Arguments evaluated, arguments.Evaluate(context));
  Result result = FindFilter(name)(value, evaluated, context);
  if (!result.ok()) return WithLine(line, result.status());
  if (absl::Status charged = context.ChargeText(*result); !charged.ok()) {
    return WithLine(line, charged);
  }
  return result;
}

Result NameExpression::DoEvaluate(Context& context) const {
  const Value* value = context.scope()->Find(name_);
  return value != nullptr ? *value : Value(Value::Holder(Undefined{name_}));
}

Result ListExpression::DoEvaluate(Context& context) const {
  List list;
  for (const ExpressionPtr& item : items_) {
    LC_ASSIGN_OR_RETURN(Value value, item->Evaluate(context));
    list.push_back(std::move(value));
  }
  list.is_tuple = is_tuple_;
  return context.NewList(std::move(list));
}

Result DictExpression::DoEvaluate(Context& context) const {
  Dict dict;
  for (const auto& [key_node, value_node] : items_) {
    LC_ASSIGN_OR_RETURN(const Value key, key_node->Evaluate(context));
    LC_ASSIGN_OR_RETURN(Value value, value_node->Evaluate(context));
    LC_RETURN_IF_ERROR(dict.Set(key, std::move(value)));
  }
  return context.NewDict(std::move(dict));
}

Result AttributeExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value object, object_->Evaluate(context));
  return GetAttribute(object, name_, context);
}

Result ItemExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value object, object_->Evaluate(context));
  LC_ASSIGN_OR_RETURN(const Value key, key_->Evaluate(context));
  return GetItem(object, key, context);
}

Result SliceExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value object, object_->Evaluate(context));
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (bounds_[i] == nullptr) continue;
    LC_ASSIGN_OR_RETURN(bounds[i], bounds_[i]->Evaluate(context));
  }
  LC_ASSIGN_OR_RETURN(Value slice, GetSlice(object, bounds[0], bounds[1], bounds[2], context));
  LC_RETURN_IF_ERROR(context.ChargeText(slice));
  return slice;
}

Result CallExpression::Call(Context& context, const Value* caller) const {
  LC_ASSIGN_OR_RETURN(const Value function, function_->Evaluate(context));
  LC_ASSIGN_OR_RETURN(Arguments arguments, arguments_.Evaluate(context));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  if (function.is_undefined()) return UndefinedError(function);
  if (!function.is_function()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value of type ", function.TypeName(), " cannot be called"));
  }
  LC_ASSIGN_OR_RETURN(Value value, function.function()->call(context, arguments));
  LC_RETURN_IF_ERROR(context.ChargeText(value));
  return value;
}

Result FilterExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(Value value, value_->Evaluate(context));
  return filter_.Apply(std::move(value), context);
}

Result TestExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, value_->Evaluate(context));
  LC_ASSIGN_OR_RETURN(const Arguments arguments, arguments_.Evaluate(context));
  LC_ASSIGN_OR_RETURN(const bool holds, FindTest(name_)(value, arguments));
  return Value::OfBool(holds);
}

Result UnaryExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, operand_->Evaluate(context));
  if (op_ == "not") return Value::OfBool(!value.Truthy());
  if (value.is_undefined()) return UndefinedError(value);
  if (!value.is_number()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", op_, "' does not go with ", value.TypeName()));
  }
  // Not 0 - value, which would lose the sign of a floating-point zero.
  return op_ == "+" ? value : Arithmetic("*", Value::OfInt(-1), value, context);
}

Result BinaryExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value left, left_->Evaluate(context));
  LC_ASSIGN_OR_RETURN(const Value right, right_->Evaluate(context));
  return Arithmetic(op_, left, right, context);
}

Result CompareExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(Value left, first_->Evaluate(context));
  for (const auto& [op, node] : rest_) {
    LC_ASSIGN_OR_RETURN(Value right, node->Evaluate(context));
    LC_ASSIGN_OR_RETURN(const bool holds, Compare(op, left, right));
    if (!holds) return Value::OfBool(false);
    left = std::move(right);
  }
  return Value::OfBool(true);
}

Result LogicExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(Value left, left_->Evaluate(context));
  if (left.Truthy() != is_and_) return left;
  return right_->Evaluate(context);
}

Result ConditionalExpression::DoEvaluate(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value condition, condition_->Evaluate(context));
  if (condition.Truthy()) return then_->Evaluate(context);
  if (otherwise_ != nullptr) return otherwise_->Evaluate(context);
  return Value(Value::Holder(Undefined{"the missing else of a condition"}));
}

}  // namespace layercake::jinja
