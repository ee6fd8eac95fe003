// What an expression is made of: names, constants, lists, dictionaries, and expressions in
// parentheses.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/expression_parser.h"
#include "coordinator/text/jinja/make_expression.h"

namespace layercake::jinja {

using Parsed = ExpressionParser::Parsed;

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

}  // namespace layercake::jinja
