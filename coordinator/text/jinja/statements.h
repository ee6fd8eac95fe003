#pragma once

// The kinds of statement. See ast.h.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/text/jinja/expressions.h"

namespace layercake::jinja {

// Text between tags.
class TextStatement : public Statement {
 public:
  TextStatement(int line, std::string text) : Statement(line), text_(std::move(text)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const MarkedText text_;
};

// {{ expression }}
class PrintStatement : public Statement {
 public:
  PrintStatement(int line, ExpressionPtr value) : Statement(line), value_(std::move(value)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const ExpressionPtr value_;
};

// {% if %}; an `elif` is an `if` alone in the else part.
class IfStatement : public Statement {
 public:
  IfStatement(int line, ExpressionPtr condition, Block then, Block otherwise)
      : Statement(line),
        condition_(std::move(condition)),
        then_(std::move(then)),
        otherwise_(std::move(otherwise)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const ExpressionPtr condition_;
  const Block then_, otherwise_;
};

// {% for target in items if filter %}; `filter` may be null.
class ForStatement : public Statement {
 public:
  ForStatement(int line, Target target, ExpressionPtr items, ExpressionPtr filter, Block body,
               Block otherwise)
      : Statement(line),
        target_(std::move(target)),
        items_(std::move(items)),
        filter_(std::move(filter)),
        body_(std::move(body)),
        otherwise_(std::move(otherwise)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  absl::StatusOr<List> Items(Context& context) const;

  const Target target_;
  const ExpressionPtr items_, filter_;
  const Block body_, otherwise_;
};

class SetStatement : public Statement {
 public:
  SetStatement(int line, Target target, ExpressionPtr value)
      : Statement(line), target_(std::move(target)), value_(std::move(value)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const Target target_;
  const ExpressionPtr value_;
};

// {% set target | filters %} body {% endset %}
class SetBlockStatement : public Statement {
 public:
  SetBlockStatement(int line, Target target, std::vector<FilterNode> filters, Block body)
      : Statement(line),
        target_(std::move(target)),
        filters_(std::move(filters)),
        body_(std::move(body)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const Target target_;
  const std::vector<FilterNode> filters_;
  const Block body_;
};

// {% filter filters %} body {% endfilter %}
class FilterStatement : public Statement {
 public:
  FilterStatement(int line, std::vector<FilterNode> filters, Block body)
      : Statement(line), filters_(std::move(filters)), body_(std::move(body)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const std::vector<FilterNode> filters_;
  const Block body_;
};

// {% with a = 1, b = 2 %} body {% endwith %}, and {% generation %} without variables.
class WithStatement : public Statement {
 public:
  using Variables = std::vector<std::pair<Target, ExpressionPtr>>;
  WithStatement(int line, Variables variables, Block body)
      : Statement(line), variables_(std::move(variables)), body_(std::move(body)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const Variables variables_;
  const Block body_;
};

// A macro's parameters and body.
struct Macro {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // a default may be null
  Block body;
  // `outer` is what the body sees besides the parameters.
  absl::StatusOr<Value> Call(Context& context, const Arguments& arguments,
                             const Scope& outer) const;
};

// The body of a macro sees the template's top level only.
class MacroStatement : public Statement {
 public:
  MacroStatement(int line, std::unique_ptr<const Macro> macro)
      : Statement(line), macro_(std::move(macro)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const std::unique_ptr<const Macro> macro_;
};

// {% call(parameters) macro(...) %} body {% endcall %}: the body is the macro's caller(), and sees
// what can be seen where it stands. It can be called only until the macro ends.
class CallStatement : public Statement {
 public:
  CallStatement(int line, std::unique_ptr<const CallExpression> call,
                std::unique_ptr<const Macro> caller)
      : Statement(line), call_(std::move(call)), caller_(std::move(caller)) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context& context) const override;

 private:
  const std::unique_ptr<const CallExpression> call_;
  const std::unique_ptr<const Macro> caller_;
};

// {% break %} and {% continue %}
class FlowStatement : public Statement {
 public:
  FlowStatement(int line, Flow flow) : Statement(line), flow_(flow) {}

 protected:
  absl::StatusOr<Flow> DoExecute(Context&) const override { return flow_; }

 private:
  const Flow flow_;
};

}  // namespace layercake::jinja
