// What may follow a value: members, subscripts, calls, filters and tests.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/expression_parser.h"
#include "coordinator/text/jinja/make_expression.h"

namespace layercake::jinja {

using Parsed = ExpressionParser::Parsed;

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
