#include "coordinator/text/jinja/parser.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/expression_parser.h"
#include "coordinator/text/jinja/statements.h"

namespace layercake::jinja {
namespace {

constexpr int kMaxNesting = 100;
using Kind = Token::Kind;
using Parsed = absl::StatusOr<StatementPtr>;

template <typename Node, typename... Args>
Parsed Make(Args&&... args) {
  return StatementPtr(std::make_unique<const Node>(std::forward<Args>(args)...));
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(tokens_) {}

  absl::StatusOr<Block> Run() { return ParseBlock({}); }

 private:
  // Statements up to a tag named in `ends`, whose name is then the current token; without any,
  // up to the end of the template.
  absl::StatusOr<Block> ParseBlock(std::initializer_list<absl::string_view> ends) {
    if (++depth_ > kMaxNesting) {
      return ErrorAt(tokens_.line(), absl::StrCat("blocks nested deeper than ", kMaxNesting));
    }
    Block block;
    const int first_line = tokens_.line();
    while (!tokens_.Is(Kind::kEnd)) {
      if (tokens_.Is(Kind::kBlockBegin)) {
        tokens_.Next();
        for (const absl::string_view end : ends) {
          if (tokens_.IsName(end)) {
            --depth_;
            return block;
          }
        }
      }
      LC_ASSIGN_OR_RETURN(StatementPtr statement, ParseStatement());
      block.push_back(std::move(statement));
    }
    if (ends.size() > 0) {
      return ErrorAt(first_line, absl::StrCat("a block that '", *(ends.end() - 1), "' never ends"));
    }
    --depth_;
    return block;
  }

  // The rest of the tag, the body, and the tag that ends it.
  absl::StatusOr<Block> ParseBody(absl::string_view end) {
    LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kBlockEnd));
    LC_ASSIGN_OR_RETURN(Block body, ParseBlock({end}));
    tokens_.Next();
    return body;
  }

  Parsed ParseStatement() {
    const int line = tokens_.line();
    if (tokens_.Is(Kind::kText)) {
      std::string text = tokens_.current().text;
      tokens_.Next();
      return Make<TextStatement>(line, std::move(text));
    }
    if (tokens_.Is(Kind::kVariableBegin)) {
      tokens_.Next();
      LC_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseTuple());
      LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kVariableEnd));
      return Make<PrintStatement>(line, std::move(value));
    }
    const std::string tag = tokens_.current().text;
    LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kName));
    auto statement = ParseTag(tag, line);
    if (!statement.ok()) return statement;
    LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kBlockEnd));
    return statement;
  }

  // Everything of a tag but its last %}.
  Parsed ParseTag(const std::string& tag, int line) {
    if (tag == "if") return ParseIf(line);
    if (tag == "for") return ParseFor(line);
    if (tag == "set") return ParseSet(line);
    if (tag == "macro") return ParseMacro(line);
    if (tag == "call") return ParseCall(line);
    if (tag == "filter") return ParseFilter(line);
    if (tag == "with") return ParseWith(line);
    if (tag == "break") return Make<FlowStatement>(line, Flow::kBreak);
    if (tag == "continue") return Make<FlowStatement>(line, Flow::kContinue);
    if (tag == "generation") {
      LC_ASSIGN_OR_RETURN(Block body, ParseBody("endgeneration"));
      return Make<WithStatement>(line, WithStatement::Variables(), std::move(body));
    }
    return ErrorAt(line, absl::StrCat("the tag '", tag, "' does not belong here"));
  }

  // Behind `if` or `elif`, up to but not beyond the last %}.
  Parsed ParseIf(int line) {
    LC_ASSIGN_OR_RETURN(ExpressionPtr condition, expressions_.ParseTuple());
    LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kBlockEnd));
    LC_ASSIGN_OR_RETURN(Block then, ParseBlock({"elif", "else", "endif"}));
    Block otherwise;
    const int next_line = tokens_.line();
    if (tokens_.SkipName("elif")) {
      if (++depth_ > kMaxNesting) return ErrorAt(next_line, "too many branches of one 'if'");
      LC_ASSIGN_OR_RETURN(StatementPtr branch, ParseIf(next_line));
      --depth_;
      otherwise.push_back(std::move(branch));
    } else if (tokens_.SkipName("else")) {
      LC_ASSIGN_OR_RETURN(otherwise, ParseBody("endif"));
    } else {
      tokens_.Next();
    }
    return Make<IfStatement>(line, std::move(condition), std::move(then), std::move(otherwise));
  }

  Parsed ParseFor(int line) {
    LC_ASSIGN_OR_RETURN(Target target, ParseTarget());
    LC_RETURN_IF_ERROR(tokens_.ExpectName("in"));
    LC_ASSIGN_OR_RETURN(ExpressionPtr items, expressions_.ParseTuple(/*with_conditional=*/false));
    ExpressionPtr filter;
    if (tokens_.SkipName("if")) {
      LC_ASSIGN_OR_RETURN(filter, expressions_.Parse());
    }
    if (tokens_.IsName("recursive")) {
      return ErrorAt(line, "recursive loops are not supported; use a macro");
    }
    LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kBlockEnd));
    LC_ASSIGN_OR_RETURN(Block body, ParseBlock({"else", "endfor"}));
    Block otherwise;
    if (tokens_.SkipName("else")) {
      LC_ASSIGN_OR_RETURN(otherwise, ParseBody("endfor"));
    } else {
      tokens_.Next();
    }
    return Make<ForStatement>(line, std::move(target), std::move(items), std::move(filter),
                              std::move(body), std::move(otherwise));
  }

  absl::StatusOr<Target> ParseTarget() {
    Target target;
    const bool parenthesised = tokens_.SkipOperator("(");
    while (true) {
      target.names.push_back(tokens_.current().text);
      LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kName));
      if (tokens_.SkipOperator(".")) {
        target.attribute = tokens_.current().text;
        LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kName));
        if (target.unpack) return tokens_.Unexpected("a plain name");
      }
      if (!tokens_.SkipOperator(",")) break;
      if (target.attribute.has_value()) return tokens_.Unexpected("'='");
      target.unpack = true;
      if (!tokens_.Is(Kind::kName)) break;
    }
    if (parenthesised) LC_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return target;
  }

  Parsed ParseSet(int line) {
    LC_ASSIGN_OR_RETURN(Target target, ParseTarget());
    if (tokens_.SkipOperator("=")) {
      LC_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseTuple());
      return Make<SetStatement>(line, std::move(target), std::move(value));
    }
    std::vector<FilterNode> filters;
    if (tokens_.SkipOperator("|")) {
      LC_ASSIGN_OR_RETURN(filters, expressions_.ParseFilters());
    }
    LC_ASSIGN_OR_RETURN(Block body, ParseBody("endset"));
    return Make<SetBlockStatement>(line, std::move(target), std::move(filters), std::move(body));
  }

  // "(a, b=1)"; where there is none, no parameters.
  absl::Status ParseParameters(Macro* macro) {
    if (!tokens_.SkipOperator("(")) return absl::OkStatus();
    while (!tokens_.IsOperator(")")) {
      if (!macro->parameters.empty()) LC_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      std::string name = tokens_.current().text;
      LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kName));
      ExpressionPtr fallback;
      if (tokens_.SkipOperator("=")) {
        LC_ASSIGN_OR_RETURN(fallback, expressions_.Parse());
      }
      macro->parameters.emplace_back(std::move(name), std::move(fallback));
    }
    tokens_.Next();
    return absl::OkStatus();
  }

  Parsed ParseMacro(int line) {
    auto macro = std::make_unique<Macro>();
    macro->name = tokens_.current().text;
    LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kName));
    if (!tokens_.IsOperator("(")) return tokens_.Unexpected("'('");
    LC_RETURN_IF_ERROR(ParseParameters(macro.get()));
    LC_ASSIGN_OR_RETURN(macro->body, ParseBody("endmacro"));
    return Make<MacroStatement>(line, std::move(macro));
  }

  Parsed ParseCall(int line) {
    auto caller = std::make_unique<Macro>();
    caller->name = "caller";
    LC_RETURN_IF_ERROR(ParseParameters(caller.get()));
    LC_ASSIGN_OR_RETURN(auto call, expressions_.ParseCall());
    LC_ASSIGN_OR_RETURN(caller->body, ParseBody("endcall"));
    return Make<CallStatement>(line, std::move(call), std::move(caller));
  }

  Parsed ParseFilter(int line) {
    LC_ASSIGN_OR_RETURN(auto filters, expressions_.ParseFilters());
    LC_ASSIGN_OR_RETURN(Block body, ParseBody("endfilter"));
    return Make<FilterStatement>(line, std::move(filters), std::move(body));
  }

  Parsed ParseWith(int line) {
    WithStatement::Variables variables;
    while (!tokens_.Is(Kind::kBlockEnd)) {
      if (!variables.empty()) LC_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      Target target;
      target.names.push_back(tokens_.current().text);
      LC_RETURN_IF_ERROR(tokens_.Expect(Kind::kName));
      LC_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      LC_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.Parse());
      variables.emplace_back(std::move(target), std::move(value));
    }
    LC_ASSIGN_OR_RETURN(Block body, ParseBody("endwith"));
    return Make<WithStatement>(line, std::move(variables), std::move(body));
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<Block> ParseTemplate(absl::string_view source) {
  LC_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace layercake::jinja
