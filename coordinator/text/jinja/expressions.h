#pragma once

// The kinds of expression. See ast.h.

#include <string>
#include <utility>
#include <vector>

#include "coordinator/text/jinja/ast.h"

namespace layercake::jinja {

class LiteralExpression : public Expression {
 public:
  LiteralExpression(int line, Value value) : Expression(line), value_(std::move(value)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context&) const override { return value_; }

 private:
  const Value value_;
};

class NameExpression : public Expression {
 public:
  NameExpression(int line, std::string name) : Expression(line), name_(std::move(name)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const std::string name_;
};

// Lists and tuples.
class ListExpression : public Expression {
 public:
  ListExpression(int line, std::vector<ExpressionPtr> items, bool is_tuple)
      : Expression(line), items_(std::move(items)), is_tuple_(is_tuple) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const std::vector<ExpressionPtr> items_;
  const bool is_tuple_;
};

class DictExpression : public Expression {
 public:
  using Items = std::vector<std::pair<ExpressionPtr, ExpressionPtr>>;
  DictExpression(int line, Items items) : Expression(line), items_(std::move(items)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const Items items_;
};

// object.name
class AttributeExpression : public Expression {
 public:
  AttributeExpression(int line, ExpressionPtr object, std::string name)
      : Expression(line), object_(std::move(object)), name_(std::move(name)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr object_;
  const std::string name_;
};

// object[key]
class ItemExpression : public Expression {
 public:
  ItemExpression(int line, ExpressionPtr object, ExpressionPtr key)
      : Expression(line), object_(std::move(object)), key_(std::move(key)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr object_, key_;
};

// object[start:stop:step]; each bound may be null.
class SliceExpression : public Expression {
 public:
  SliceExpression(int line, ExpressionPtr object, std::vector<ExpressionPtr> bounds)
      : Expression(line), object_(std::move(object)), bounds_(std::move(bounds)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr object_;
  const std::vector<ExpressionPtr> bounds_;
};

class CallExpression : public Expression {
 public:
  CallExpression(int line, ExpressionPtr function, ArgumentNodes arguments)
      : Expression(line), function_(std::move(function)), arguments_(std::move(arguments)) {}
  // Calls with further arguments, as {% call %} does.
  absl::StatusOr<Value> Call(Context& context, const Value* caller) const;

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override {
    return Call(context, nullptr);
  }

 private:
  const ExpressionPtr function_;
  const ArgumentNodes arguments_;
};

class FilterExpression : public Expression {
 public:
  FilterExpression(int line, ExpressionPtr value, FilterNode filter)
      : Expression(line), value_(std::move(value)), filter_(std::move(filter)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr value_;
  const FilterNode filter_;
};

class TestExpression : public Expression {
 public:
  TestExpression(int line, ExpressionPtr value, std::string name, ArgumentNodes arguments)
      : Expression(line),
        value_(std::move(value)),
        name_(std::move(name)),
        arguments_(std::move(arguments)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr value_;
  const std::string name_;
  const ArgumentNodes arguments_;
};

// `not`, `-` and `+`.
class UnaryExpression : public Expression {
 public:
  UnaryExpression(int line, std::string op, ExpressionPtr operand)
      : Expression(line), op_(std::move(op)), operand_(std::move(operand)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const std::string op_;
  const ExpressionPtr operand_;
};

// Arithmetic and `~`.
class BinaryExpression : public Expression {
 public:
  BinaryExpression(int line, std::string op, ExpressionPtr left, ExpressionPtr right)
      : Expression(line), op_(std::move(op)), left_(std::move(left)), right_(std::move(right)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const std::string op_;
  const ExpressionPtr left_, right_;
};

// a < b == c ...: every neighbouring pair must hold.
class CompareExpression : public Expression {
 public:
  using Rest = std::vector<std::pair<std::string, ExpressionPtr>>;
  CompareExpression(int line, ExpressionPtr first, Rest rest)
      : Expression(line), first_(std::move(first)), rest_(std::move(rest)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr first_;
  const Rest rest_;
};

// `and` and `or`: the operand that decides is the value.
class LogicExpression : public Expression {
 public:
  LogicExpression(int line, bool is_and, ExpressionPtr left, ExpressionPtr right)
      : Expression(line), is_and_(is_and), left_(std::move(left)), right_(std::move(right)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const bool is_and_;
  const ExpressionPtr left_, right_;
};

// `then` if `condition` else `otherwise`, which may be null.
class ConditionalExpression : public Expression {
 public:
  ConditionalExpression(int line, ExpressionPtr condition, ExpressionPtr then,
                        ExpressionPtr otherwise)
      : Expression(line),
        condition_(std::move(condition)),
        then_(std::move(then)),
        otherwise_(std::move(otherwise)) {}

 protected:
  absl::StatusOr<Value> DoEvaluate(Context& context) const override;

 private:
  const ExpressionPtr condition_, then_, otherwise_;
};

}  // namespace layercake::jinja
