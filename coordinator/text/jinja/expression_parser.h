#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/text/jinja/ast.h"
#include "coordinator/text/jinja/expressions.h"
#include "coordinator/text/jinja/token_stream.h"

namespace layercake::jinja {

// The expression grammar, one function for each level of precedence, loosest first: operators in
// expression_parser.cc, what follows a value in postfix_parser.cc, values in primary_parser.cc.
// Errors of all: InvalidArgument naming the line.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  using Parsed = absl::StatusOr<ExpressionPtr>;
  // One expression, with `a if b else c` unless `with_conditional` is false.
  Parsed Parse(bool with_conditional = true);
  // Expressions between commas: a tuple, or the one.
  Parsed ParseTuple(bool with_conditional = true);
  // `name(arguments)` and so on behind a bar, until there is no other.
  absl::StatusOr<std::vector<FilterNode>> ParseFilters();
  // A call, as {% call %} wants one.
  absl::StatusOr<std::unique_ptr<const CallExpression>> ParseCall();

 private:
  Parsed ParseConditional();
  Parsed ParseOr();
  Parsed ParseAnd();
  Parsed ParseNot();
  Parsed ParseComparison();
  Parsed ParseSum();
  Parsed ParseConcatenation();
  Parsed ParseProduct();
  Parsed ParsePower();
  Parsed ParseUnary(bool with_filters = true);
  Parsed ParsePrimary();
  Parsed ParseNameOrConstant();
  Parsed ParseNumber();
  Parsed ParseList();
  Parsed ParseDict();
  Parsed ParsePostfix(ExpressionPtr value);
  Parsed ParseMember(ExpressionPtr object);
  Parsed ParseSubscript(ExpressionPtr object);
  Parsed ParseFilterOrTest(ExpressionPtr value);
  Parsed ParseTest(ExpressionPtr value);
  absl::StatusOr<FilterNode> ParseFilter();
  absl::StatusOr<ArgumentNodes> ParseArguments();
  // Folds `next operand` chains of binary operators to the left.
  Parsed ParseBinary(std::initializer_list<absl::string_view> operators,
                     Parsed (ExpressionParser::*operand)());
  Parsed ParseUnaryOperand() { return ParseUnary(); }
  // Errors: InvalidArgument (so many operators in a row).
  absl::Status CheckChain(int length) const;
  // Whether a test's only argument follows, as in `x is divisibleby 3`.
  bool AtTestArgument() const;

  TokenStream& tokens_;
  int depth_ = 0;
};

}  // namespace layercake::jinja
