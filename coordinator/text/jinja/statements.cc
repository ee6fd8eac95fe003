#include "coordinator/text/jinja/statements.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/operators.h"

namespace layercake::jinja {

using Ended = absl::StatusOr<Flow>;

Ended Statement::Execute(Context& context) const {
  const Context::Level level(context);
  absl::Status status = level.status();
  if (status.ok()) status = context.Charge(1, 0);
  if (!status.ok()) return WithLine(line_, status);
  Ended flow = DoExecute(context);
  if (!flow.ok()) return WithLine(line_, flow.status());
  return flow;
}

Ended ExecuteBlock(const Block& block, Context& context) {
  for (const StatementPtr& statement : block) {
    LC_ASSIGN_OR_RETURN(const Flow flow, statement->Execute(context));
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

absl::StatusOr<MarkedText> CaptureBlock(const Block& block, Context& context) {
  MarkedText outer = context.SwapOutput(MarkedText());
  const absl::Status status = ExecuteBlock(block, context).status();
  MarkedText captured = context.SwapOutput(std::move(outer));
  if (!status.ok()) return status;
  return captured;
}

absl::Status Target::Assign(const Value& value, Context& context) const {
  if (attribute.has_value()) {
    const Value* object = context.scope()->Find(names[0]);
    Namespace* space = object == nullptr ? nullptr : object->as_namespace();
    if (space == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("'", names[0], "' is not a namespace()"));
    }
    space->members.Set(*attribute, value);
    return absl::OkStatus();
  }
  if (!unpack) {
    context.scope()->Set(names[0], value);
    return absl::OkStatus();
  }
  LC_ASSIGN_OR_RETURN(const List parts, Iterate(value, context));
  if (parts.size() != names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(parts.size(), " values to be unpacked into ", names.size(), " names"));
  }
  for (size_t i = 0; i < names.size(); ++i) context.scope()->Set(names[i], parts[i]);
  return absl::OkStatus();
}

Ended TextStatement::DoExecute(Context& context) const {
  LC_RETURN_IF_ERROR(context.Write(text_));
  return Flow::kNormal;
}

Ended PrintStatement::DoExecute(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, value_->Evaluate(context));
  LC_RETURN_IF_ERROR(context.Write(value.ToText()));
  return Flow::kNormal;
}

Ended IfStatement::DoExecute(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value condition, condition_->Evaluate(context));
  return ExecuteBlock(condition.Truthy() ? then_ : otherwise_, context);
}

absl::StatusOr<List> ForStatement::Items(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, items_->Evaluate(context));
  LC_ASSIGN_OR_RETURN(List items, Iterate(value, context));
  if (filter_ == nullptr) return items;
  List kept;
  Scope scope(context.scope());
  const Context::Within within(context, &scope);
  for (Value& item : items) {
    LC_RETURN_IF_ERROR(target_.Assign(item, context));
    LC_ASSIGN_OR_RETURN(const Value wanted, filter_->Evaluate(context));
    if (wanted.Truthy()) kept.push_back(std::move(item));
  }
  return kept;
}

Ended ForStatement::DoExecute(Context& context) const {
  LC_ASSIGN_OR_RETURN(List list, Items(context));
  if (list.empty()) return ExecuteBlock(otherwise_, context);
  const Value items = context.NewList(std::move(list));
  LoopState* loop = context.NewLoop(&items.list());
  Scope scope(context.scope());
  const Context::Within within(context, &scope);
  for (; loop->index < items.list().size(); ++loop->index) {
    scope.Clear();
    scope.Set("loop", Value(Value::Holder(static_cast<const LoopState*>(loop))));
    LC_RETURN_IF_ERROR(target_.Assign(items.list()[loop->index], context));
    LC_ASSIGN_OR_RETURN(const Flow flow, ExecuteBlock(body_, context));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNormal;
}

Ended SetStatement::DoExecute(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, value_->Evaluate(context));
  LC_RETURN_IF_ERROR(target_.Assign(value, context));
  return Flow::kNormal;
}

namespace {

absl::StatusOr<Value> CaptureFiltered(const Block& body, const std::vector<FilterNode>& filters,
                                      Context& context) {
  Scope scope(context.scope());
  const Context::Within within(context, &scope);
  LC_ASSIGN_OR_RETURN(MarkedText text, CaptureBlock(body, context));
  Value value(std::move(text));
  for (const FilterNode& filter : filters) {
    LC_ASSIGN_OR_RETURN(value, filter.Apply(std::move(value), context));
  }
  return value;
}

Value FunctionValue(const std::string& name, decltype(Callable::call) call) {
  auto function = std::make_shared<Callable>();
  function->name = name;
  function->call = std::move(call);
  return Value(Value::Holder(Value::Function(std::move(function))));
}

}  // namespace

Ended SetBlockStatement::DoExecute(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, CaptureFiltered(body_, filters_, context));
  LC_RETURN_IF_ERROR(target_.Assign(value, context));
  return Flow::kNormal;
}

Ended FilterStatement::DoExecute(Context& context) const {
  LC_ASSIGN_OR_RETURN(const Value value, CaptureFiltered(body_, filters_, context));
  LC_RETURN_IF_ERROR(context.Write(value.ToText()));
  return Flow::kNormal;
}

Ended WithStatement::DoExecute(Context& context) const {
  Scope scope(context.scope());
  std::vector<Value> values;
  for (const auto& [target, node] : variables_) {
    LC_ASSIGN_OR_RETURN(Value value, node->Evaluate(context));
    values.push_back(std::move(value));
  }
  const Context::Within within(context, &scope);
  for (size_t i = 0; i < values.size(); ++i) {
    LC_RETURN_IF_ERROR(variables_[i].first.Assign(values[i], context));
  }
  return ExecuteBlock(body_, context);
}

absl::StatusOr<Value> Macro::Call(Context& context, const Arguments& arguments,
                                  const Scope& outer) const {
  const Context::Level level(context);
  LC_RETURN_IF_ERROR(level.status());
  if (arguments.positional.size() > parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat("macro '", name, "' takes ", parameters.size(),
                                                   " arguments, not ",
                                                   arguments.positional.size()));
  }
  Scope scope(&outer);
  const Context::Within within(context, &scope);
  for (const auto& [key, value] : arguments.named) scope.Set(key, value);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [key, fallback] = parameters[i];
    const bool named =
        std::any_of(arguments.named.begin(), arguments.named.end(),
                    [&k = key](const auto& argument) { return argument.first == k; });
    if (i < arguments.positional.size()) {
      scope.Set(key, arguments.positional[i]);
    } else if (!named && fallback != nullptr) {
      LC_ASSIGN_OR_RETURN(Value value, fallback->Evaluate(context));
      scope.Set(key, std::move(value));
    } else if (!named) {
      scope.Set(key, Value(Value::Holder(Undefined{key})));
    }
  }
  LC_ASSIGN_OR_RETURN(MarkedText text, CaptureBlock(body, context));
  return Value(std::move(text));
}

Ended MacroStatement::DoExecute(Context& context) const {
  const auto call = [macro = macro_.get()](Context& where, const Arguments& arguments) {
    return macro->Call(where, arguments, where.globals());
  };
  context.scope()->Set(macro_->name, FunctionValue(macro_->name, call));
  return Flow::kNormal;
}

Ended CallStatement::DoExecute(Context& context) const {
  // A macro may keep its caller() for later, when the scope around it is gone.
  const auto outer = std::make_shared<const Scope*>(context.scope());
  const auto forget = absl::MakeCleanup([&] { *outer = nullptr; });
  const auto call = [outer, macro = caller_.get()](
                        Context& where, const Arguments& arguments) -> absl::StatusOr<Value> {
    if (*outer == nullptr) return absl::InvalidArgumentError("caller() after its macro has ended");
    return macro->Call(where, arguments, **outer);
  };
  const Value caller = FunctionValue("caller", call);
  LC_ASSIGN_OR_RETURN(const Value value, call_->Call(context, &caller));
  LC_RETURN_IF_ERROR(context.Write(value.ToText()));
  return Flow::kNormal;
}

}  // namespace layercake::jinja
