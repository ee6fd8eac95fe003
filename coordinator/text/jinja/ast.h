#pragma once

// A parsed template. Nodes are immutable; evaluating one changes the Context alone.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"

namespace layercake::jinja {

class Expression {
 public:
  explicit Expression(int line) : line_(line) {}
  virtual ~Expression() = default;
  // Errors: InvalidArgument, ResourceExhausted; the message names a line.
  absl::StatusOr<Value> Evaluate(Context& context) const;
  int line() const { return line_; }

 protected:
  virtual absl::StatusOr<Value> DoEvaluate(Context& context) const = 0;

 private:
  const int line_;
};
using ExpressionPtr = std::unique_ptr<const Expression>;

// How a statement ended: `break` and `continue` leave the blocks around them.
enum class Flow { kNormal, kBreak, kContinue };

class Statement {
 public:
  explicit Statement(int line) : line_(line) {}
  virtual ~Statement() = default;
  // Errors: as Expression::Evaluate.
  absl::StatusOr<Flow> Execute(Context& context) const;
  int line() const { return line_; }

 protected:
  virtual absl::StatusOr<Flow> DoExecute(Context& context) const = 0;

 private:
  const int line_;
};
using StatementPtr = std::unique_ptr<const Statement>;
using Block = std::vector<StatementPtr>;

absl::StatusOr<Flow> ExecuteBlock(const Block& block, Context& context);
// What `block` writes.
absl::StatusOr<MarkedText> CaptureBlock(const Block& block, Context& context);

// The arguments of a call, filter or test as written.
struct ArgumentNodes {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional;  // *list, or null
  ExpressionPtr more_named;       // **dict, or null
  absl::StatusOr<Arguments> Evaluate(Context& context) const;
};

// One `|name(...)`.
struct FilterNode {
  std::string name;
  ArgumentNodes arguments;
  int line = 0;
  absl::StatusOr<Value> Apply(Value value, Context& context) const;
};

// The left side of `set` and `for`: `a`, `a, b` or `ns.a`.
struct Target {
  std::vector<std::string> names;
  bool unpack = false;                   // whether the value is a sequence to be taken apart
  std::optional<std::string> attribute;  // of the namespace names[0]
  absl::Status Assign(const Value& value, Context& context) const;
};

}  // namespace layercake::jinja
