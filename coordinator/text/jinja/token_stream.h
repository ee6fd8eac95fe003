#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "coordinator/text/jinja/lexer.h"

namespace layercake::jinja {

// The tokens of a template and where the parser is in them.
class TokenStream {
 public:
  // REQUIRES: `tokens` ends with kEnd.
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[pos_]; }
  const Token& Look() const { return tokens_[pos_ + 1 < tokens_.size() ? pos_ + 1 : pos_]; }
  int line() const { return current().line; }
  // Passes the current token; the last stays current.
  void Next() {
    if (pos_ + 1 < tokens_.size()) ++pos_;
  }

  bool Is(Token::Kind kind) const { return current().kind == kind; }
  bool IsOperator(absl::string_view text) const {
    return Is(Token::Kind::kOperator) && current().text == text;
  }
  bool IsName(absl::string_view text) const {
    return Is(Token::Kind::kName) && current().text == text;
  }
  bool SkipOperator(absl::string_view text);
  bool SkipName(absl::string_view text);
  // Errors: InvalidArgument naming the line, what is there and what is wanted.
  absl::Status ExpectOperator(absl::string_view text);
  absl::Status ExpectName(absl::string_view text);
  absl::Status Expect(Token::Kind kind);
  absl::Status Unexpected(absl::string_view wanted) const;

 private:
  std::vector<Token> tokens_;
  size_t pos_ = 0;
};

}  // namespace layercake::jinja
