#include "coordinator/text/jinja/expression_parser.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/error.h"

namespace layercake::jinja {
namespace {

constexpr int kMaxNesting = 100;
// Of operators or members in a row; each makes the tree one level deeper.
constexpr int kMaxChain = 200;
using Parsed = ExpressionParser::Parsed;

template <typename Node, typename... Args>
Parsed Make(Args&&... args) {
  return ExpressionPtr(std::make_unique<const Node>(std::forward<Args>(args)...));
}

}  // namespace

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

Parsed ExpressionParser::ParsePrimary() {
  const int line = tokens_.line();
  switch (tokens_.current().kind) {
    case Token::Kind::kName:
      return ParseNameOrConstant();
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return ParseNumber();
    case Token::Kind::kString: {
      std::string text;
      for (; tokens_.Is(Token::Kind::kString); tokens_.Next()) text += tokens_.current().text;
      return Make<LiteralExpression>(line, Value::OfText(std::move(text)));
    }
    default:
      break;
  }
  if (tokens_.IsOperator("[")) return ParseList();
  if (tokens_.IsOperator("{")) return ParseDict();
  if (tokens_.SkipOperator("(")) {
    if (tokens_.SkipOperator(")"))
      return Make<ListExpression>(line, std::vector<ExpressionPtr>(), /*is_tuple=*/true);
    LC_ASSIGN_OR_RETURN(ExpressionPtr value, ParseTuple());
    LC_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return value;
  }
  return tokens_.Unexpected("an expression");
}

Parsed ExpressionParser::ParseNameOrConstant() {
  const int line = tokens_.line();
  const std::string name = tokens_.current().text;
  tokens_.Next();
  if (name == "true" || name == "True") return Make<LiteralExpression>(line, Value::OfBool(true));
  if (name == "false" || name == "False") {
    return Make<LiteralExpression>(line, Value::OfBool(false));
  }
  if (name == "none" || name == "None") return Make<LiteralExpression>(line, Value::OfNone());
  return Make<NameExpression>(line, name);
}

Parsed ExpressionParser::ParseNumber() {
  const Token token = tokens_.current();
  tokens_.Next();
  if (token.kind == Token::Kind::kInteger) {
    int64_t value = 0;
    if (!absl::SimpleAtoi(token.text, &value)) {
      return ErrorAt(token.line, absl::StrCat("the number ", token.text, " is beyond 64 bits"));
    }
    return Make<LiteralExpression>(token.line, Value::OfInt(value));
  }
  double value = 0;
  if (!absl::SimpleAtod(token.text, &value)) {
    return ErrorAt(token.line, absl::StrCat("the number ", token.text, " cannot be read"));
  }
  return Make<LiteralExpression>(token.line, Value::OfDouble(value));
}

Parsed ExpressionParser::ParseList() {
  const int line = tokens_.line();
  LC_RETURN_IF_ERROR(tokens_.ExpectOperator("["));
  std::vector<ExpressionPtr> items;
  while (!tokens_.IsOperator("]")) {
    if (!items.empty()) LC_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.IsOperator("]")) break;
    LC_ASSIGN_OR_RETURN(ExpressionPtr item, Parse());
    items.push_back(std::move(item));
  }
  tokens_.Next();
  return Make<ListExpression>(line, std::move(items), /*is_tuple=*/false);
}

Parsed ExpressionParser::ParseDict() {
  const int line = tokens_.line();
  LC_RETURN_IF_ERROR(tokens_.ExpectOperator("{"));
  DictExpression::Items items;
  while (!tokens_.IsOperator("}")) {
    if (!items.empty()) LC_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.IsOperator("}")) break;
    LC_ASSIGN_OR_RETURN(ExpressionPtr key, Parse());
    LC_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    LC_ASSIGN_OR_RETURN(ExpressionPtr value, Parse());
    items.emplace_back(std::move(key), std::move(value));
  }
  tokens_.Next();
  return Make<DictExpression>(line, std::move(items));
}

Parsed ExpressionParser::ParsePostfix(ExpressionPtr value) {
  for (int chain = 1;; ++chain) {
    LC_RETURN_IF_ERROR(CheckChain(chain));
    if (tokens_.IsOperator(".")) {
      LC_ASSIGN_OR_RETURN(value, ParseMember(std::move(value)));
    } else if (tokens_.IsOperator("[")) {
      LC_ASSIGN_OR_RETURN(value, ParseSubscript(std::move(value)));
    } else if (tokens_.IsOperator("(")) {
      const int line = tokens_.line();
      LC_ASSIGN_OR_RETURN(ArgumentNodes arguments, ParseArguments());
      value = std::make_unique<const CallExpression>(line, std::move(value), std::move(arguments));
    } else {
      return value;
    }
  }
}

Parsed ExpressionParser::ParseMember(ExpressionPtr object) {
  const int line = tokens_.line();
  tokens_.Next();
  const Token token = tokens_.current();
  if (token.kind == Token::Kind::kInteger) {
    LC_ASSIGN_OR_RETURN(ExpressionPtr index, ParseNumber());
    return Make<ItemExpression>(line, std::move(object), std::move(index));
  }
  LC_RETURN_IF_ERROR(tokens_.Expect(Token::Kind::kName));
  return Make<AttributeExpression>(line, std::move(object), token.text);
}

Parsed ExpressionParser::ParseSubscript(ExpressionPtr object) {
  const int line = tokens_.line();
  LC_RETURN_IF_ERROR(tokens_.ExpectOperator("["));
  std::vector<ExpressionPtr> bounds(1);
  bool is_slice = false;
  while (!tokens_.IsOperator("]")) {
    if (tokens_.IsOperator(":")) {
      if (bounds.size() == 3) return tokens_.Unexpected("']'");
      tokens_.Next();
      is_slice = true;
      bounds.emplace_back();
    } else if (bounds.back() == nullptr) {
      LC_ASSIGN_OR_RETURN(bounds.back(), Parse());
    } else {
      return tokens_.Unexpected("']'");
    }
  }
  if (!is_slice && bounds[0] == nullptr) return tokens_.Unexpected("a subscript");
  tokens_.Next();
  if (!is_slice) return Make<ItemExpression>(line, std::move(object), std::move(bounds[0]));
  bounds.resize(3);
  return Make<SliceExpression>(line, std::move(object), std::move(bounds));
}

absl::StatusOr<ArgumentNodes> ExpressionParser::ParseArguments() {
  LC_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  ArgumentNodes arguments;
  bool first = true;
  while (!tokens_.IsOperator(")")) {
    if (!first) LC_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.IsOperator(")")) break;
    first = false;
    if (tokens_.IsOperator("*") || tokens_.IsOperator("**")) {
      ExpressionPtr& more =
          tokens_.IsOperator("*") ? arguments.more_positional : arguments.more_named;
      if (more != nullptr) return tokens_.Unexpected("')'");
      tokens_.Next();
      LC_ASSIGN_OR_RETURN(more, Parse());
      continue;
    }
    const Token& next = tokens_.Look();
    if (tokens_.Is(Token::Kind::kName) && next.kind == Token::Kind::kOperator && next.text == "=") {
      std::string name = tokens_.current().text;
      tokens_.Next();
      tokens_.Next();
      LC_ASSIGN_OR_RETURN(ExpressionPtr value, Parse());
      arguments.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!arguments.named.empty() || arguments.more_positional != nullptr)
        return tokens_.Unexpected("a named argument");
      LC_ASSIGN_OR_RETURN(ExpressionPtr value, Parse());
      arguments.positional.push_back(std::move(value));
    }
  }
  tokens_.Next();
  return arguments;
}

Parsed ExpressionParser::ParseFilterOrTest(ExpressionPtr value) {
  for (int chain = 1;; ++chain) {
    LC_RETURN_IF_ERROR(CheckChain(chain));
    const int line = tokens_.line();
    if (tokens_.SkipOperator("|")) {
      LC_ASSIGN_OR_RETURN(FilterNode filter, ParseFilter());
      value = std::make_unique<const FilterExpression>(line, std::move(value), std::move(filter));
    } else if (tokens_.SkipName("is")) {
      LC_ASSIGN_OR_RETURN(value, ParseTest(std::move(value)));
    } else if (tokens_.IsOperator("(")) {
      LC_ASSIGN_OR_RETURN(ArgumentNodes arguments, ParseArguments());
      value = std::make_unique<const CallExpression>(line, std::move(value), std::move(arguments));
    } else {
      return value;
    }
  }
}

absl::StatusOr<FilterNode> ExpressionParser::ParseFilter() {
  FilterNode filter;
  filter.line = tokens_.line();
  filter.name = tokens_.current().text;
  LC_RETURN_IF_ERROR(tokens_.Expect(Token::Kind::kName));
  if (FindFilter(filter.name) == nullptr) {
    return ErrorAt(filter.line, absl::StrCat("there is no filter '", filter.name, "'"));
  }
  if (tokens_.IsOperator("(")) {
    LC_ASSIGN_OR_RETURN(filter.arguments, ParseArguments());
  }
  return filter;
}

absl::StatusOr<std::vector<FilterNode>> ExpressionParser::ParseFilters() {
  std::vector<FilterNode> filters;
  do {
    LC_ASSIGN_OR_RETURN(FilterNode filter, ParseFilter());
    filters.push_back(std::move(filter));
  } while (tokens_.SkipOperator("|"));
  return filters;
}

bool ExpressionParser::AtTestArgument() const {
  switch (tokens_.current().kind) {
    case Token::Kind::kString:
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return true;
    case Token::Kind::kOperator:
      return tokens_.IsOperator("[") || tokens_.IsOperator("{");
    case Token::Kind::kName:
      return !tokens_.IsName("else") && !tokens_.IsName("or") && !tokens_.IsName("and") &&
             !tokens_.IsName("is") && !tokens_.IsName("if") && !tokens_.IsName("not") &&
             !tokens_.IsName("in") && !tokens_.IsName("recursive");
    default:
      return false;
  }
}

Parsed ExpressionParser::ParseTest(ExpressionPtr value) {
  const int line = tokens_.line();
  const bool negated = tokens_.SkipName("not");
  const std::string name = tokens_.IsOperator("==") ? std::string("==") : tokens_.current().text;
  LC_RETURN_IF_ERROR(tokens_.Expect(Token::Kind::kName));
  if (FindTest(name) == nullptr) {
    return ErrorAt(line, absl::StrCat("there is no test '", name, "'"));
  }
  ArgumentNodes arguments;
  if (tokens_.IsOperator("(")) {
    LC_ASSIGN_OR_RETURN(arguments, ParseArguments());
  } else if (AtTestArgument()) {
    LC_ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
    LC_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    arguments.positional.push_back(std::move(argument));
  }
  ExpressionPtr test =
      std::make_unique<const TestExpression>(line, std::move(value), name, std::move(arguments));
  if (!negated) return test;
  return Make<UnaryExpression>(line, "not", std::move(test));
}

absl::StatusOr<std::unique_ptr<const CallExpression>> ExpressionParser::ParseCall() {
  const int line = tokens_.line();
  LC_ASSIGN_OR_RETURN(ExpressionPtr function, ParseNameOrConstant());
  while (tokens_.IsOperator(".")) {
    LC_ASSIGN_OR_RETURN(function, ParseMember(std::move(function)));
  }
  LC_ASSIGN_OR_RETURN(ArgumentNodes arguments, ParseArguments());
  return std::make_unique<const CallExpression>(line, std::move(function), std::move(arguments));
}

}  // namespace layercake::jinja
