#pragma once

// Jinja source to tokens, with the white space rules that chat templates are written for.
// Source: https://jinja.palletsprojects.com/en/3.1.x/templates/ (read as Jinja 3.1 does).

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake::jinja {

struct Token {
  enum class Kind {
    kText,           // template text outside of any tag
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kName,
    kString,  // `text` is what the literal stands for
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int line = 0;  // from 1
};

// Cuts `source` as an environment with trim_blocks and lstrip_blocks does, and without
// keep_trailing_newline. Comments are dropped, {% raw %} becomes text. The last token is kEnd.
// REQUIRES: `source` is valid UTF-8.   Errors: InvalidArgument naming the line.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source);

}  // namespace layercake::jinja
