#include "coordinator/text/jinja/expression_parser.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/make_expression.h"

namespace layercake::jinja {
namespace {

constexpr int kMaxNesting = 100;
// Of operators or members in a row; each makes the tree one level deeper.
constexpr int kMaxChain = 200;

}  // namespace

using Parsed = ExpressionParser::Parsed;

absl::Status ExpressionParser::CheckChain(int length) const {
  if (length <= kMaxChain) return absl::OkStatus();
  return ErrorAt(tokens_.line(), absl::StrCat("more than ", kMaxChain, " operators in a row"));
}

Parsed ExpressionParser::Parse(bool with_conditional) {
  ++depth_;
  const auto leave = absl::MakeCleanup([this] { --depth_; });
  if (depth_ > kMaxNesting) {
    return ErrorAt(tokens_.line(), absl::StrCat("an expression nested deeper than ", kMaxNesting));
  }
  return with_conditional ? ParseConditional() : ParseOr();
}

Parsed ExpressionParser::ParseTuple(bool with_conditional) {
  const int line = tokens_.line();
  LC_ASSIGN_OR_RETURN(ExpressionPtr first, Parse(with_conditional));
  if (!tokens_.IsOperator(",")) return first;
  std::vector<ExpressionPtr> items;
  items.push_back(std::move(first));
  while (tokens_.SkipOperator(",")) {
    using Kind = Token::Kind;
    if (tokens_.Is(Kind::kVariableEnd) || tokens_.Is(Kind::kBlockEnd) || tokens_.IsOperator(")")) {
      break;
    }
    LC_ASSIGN_OR_RETURN(ExpressionPtr item, Parse(with_conditional));
    items.push_back(std::move(item));
  }
  return Make<ListExpression>(line, std::move(items), /*is_tuple=*/true);
}

Parsed ExpressionParser::ParseConditional() {
  LC_ASSIGN_OR_RETURN(ExpressionPtr value, ParseOr());
  for (int chain = 1; tokens_.IsName("if"); ++chain) {
    LC_RETURN_IF_ERROR(CheckChain(chain));
    const int line = tokens_.line();
    tokens_.Next();
    LC_ASSIGN_OR_RETURN(ExpressionPtr condition, ParseOr());
    ExpressionPtr otherwise;
    if (tokens_.SkipName("else")) {
      LC_ASSIGN_OR_RETURN(otherwise, Parse());
    }
    value = std::make_unique<const ConditionalExpression>(line, std::move(condition),
                                                          std::move(value), std::move(otherwise));
  }
  return value;
}

Parsed ExpressionParser::ParseOr() {
  LC_ASSIGN_OR_RETURN(ExpressionPtr left, ParseAnd());
  for (int chain = 1; tokens_.IsName("or"); ++chain) {
    LC_RETURN_IF_ERROR(CheckChain(chain));
    const int line = tokens_.line();
    tokens_.Next();
    LC_ASSIGN_OR_RETURN(ExpressionPtr right, ParseAnd());
    left = std::make_unique<const LogicExpression>(line, false, std::move(left), std::move(right));
  }
  return left;
}

Parsed ExpressionParser::ParseAnd() {
  LC_ASSIGN_OR_RETURN(ExpressionPtr left, ParseNot());
  for (int chain = 1; tokens_.IsName("and"); ++chain) {
    LC_RETURN_IF_ERROR(CheckChain(chain));
    const int line = tokens_.line();
    tokens_.Next();
    LC_ASSIGN_OR_RETURN(ExpressionPtr right, ParseNot());
    left = std::make_unique<const LogicExpression>(line, true, std::move(left), std::move(right));
  }
  return left;
}

Parsed ExpressionParser::ParseNot() {
  const int line = tokens_.line();
  int count = 0;
  while (tokens_.SkipName("not")) ++count;
  LC_ASSIGN_OR_RETURN(ExpressionPtr value, ParseComparison());
  if (count == 0) return value;
  // `not not x` is a truth value, so two are not none.
  ExpressionPtr negated = std::make_unique<const UnaryExpression>(line, "not", std::move(value));
  if (count % 2 == 1) return negated;
  return Make<UnaryExpression>(line, "not", std::move(negated));
}

Parsed ExpressionParser::ParseComparison() {
  const int line = tokens_.line();
  LC_ASSIGN_OR_RETURN(ExpressionPtr first, ParseSum());
  CompareExpression::Rest rest;
  while (true) {
    std::string op;
    if (tokens_.Is(Token::Kind::kOperator)) {
      for (const absl::string_view known : {"==", "!=", "<", "<=", ">", ">="}) {
        if (tokens_.current().text == known) op = std::string(known);
      }
    } else if (tokens_.IsName("in")) {
      op = "in";
    } else if (tokens_.IsName("not") && tokens_.Look().kind == Token::Kind::kName &&
               tokens_.Look().text == "in") {
      tokens_.Next();
      op = "not in";
    }
    if (op.empty()) break;
    tokens_.Next();
    LC_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseSum());
    rest.emplace_back(std::move(op), std::move(operand));
  }
  if (rest.empty()) return first;
  return Make<CompareExpression>(line, std::move(first), std::move(rest));
}

Parsed ExpressionParser::ParseBinary(std::initializer_list<absl::string_view> operators,
                                     Parsed (ExpressionParser::*operand)()) {
  LC_ASSIGN_OR_RETURN(ExpressionPtr left, (this->*operand)());
  for (int chain = 1;; ++chain) {
    LC_RETURN_IF_ERROR(CheckChain(chain));
    std::string op;
    for (const absl::string_view known : operators) {
      if (tokens_.IsOperator(known)) op = std::string(known);
    }
    if (op.empty()) return left;
    const int line = tokens_.line();
    tokens_.Next();
    LC_ASSIGN_OR_RETURN(ExpressionPtr right, (this->*operand)());
    left = std::make_unique<const BinaryExpression>(line, op, std::move(left), std::move(right));
  }
}

Parsed ExpressionParser::ParseSum() {
  return ParseBinary({"+", "-"}, &ExpressionParser::ParseConcatenation);
}

Parsed ExpressionParser::ParseConcatenation() {
  return ParseBinary({"~"}, &ExpressionParser::ParseProduct);
}

Parsed ExpressionParser::ParseProduct() {
  return ParseBinary({"*", "/", "//", "%"}, &ExpressionParser::ParsePower);
}

Parsed ExpressionParser::ParsePower() {
  return ParseBinary({"**"}, &ExpressionParser::ParseUnaryOperand);
}

Parsed ExpressionParser::ParseUnary(bool with_filters) {
  const int line = tokens_.line();
  ExpressionPtr value;
  if (tokens_.IsOperator("-") || tokens_.IsOperator("+")) {
    const std::string op = tokens_.current().text;
    ++depth_;
    const auto leave = absl::MakeCleanup([this] { --depth_; });
    if (depth_ > kMaxNesting) return ErrorAt(line, "too many signs in a row");
    tokens_.Next();
    LC_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseUnary(/*with_filters=*/false));
    value = std::make_unique<const UnaryExpression>(line, op, std::move(operand));
  } else {
    LC_ASSIGN_OR_RETURN(value, ParsePrimary());
  }
  LC_ASSIGN_OR_RETURN(value, ParsePostfix(std::move(value)));
  if (!with_filters) return value;
  return ParseFilterOrTest(std::move(value));
}

}  // namespace layercake::jinja
