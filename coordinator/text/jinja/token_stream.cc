#include "coordinator/text/jinja/token_stream.h"

#include "absl/strings/str_cat.h"
#include "coordinator/text/jinja/error.h"

namespace layercake::jinja {
namespace {

std::string Describe(Token::Kind kind, absl::string_view text) {
  switch (kind) {
    case Token::Kind::kText:
      return "text";
    case Token::Kind::kBlockBegin:
      return "'{%'";
    case Token::Kind::kBlockEnd:
      return "'%}'";
    case Token::Kind::kVariableBegin:
      return "'{{'";
    case Token::Kind::kVariableEnd:
      return "'}}'";
    case Token::Kind::kName:
      return text.empty() ? "a name" : absl::StrCat("'", text, "'");
    case Token::Kind::kString:
      return "a string";
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return "a number";
    case Token::Kind::kOperator:
      return absl::StrCat("'", text, "'");
    case Token::Kind::kEnd:
      return "the end of the template";
  }
  return "";
}

}  // namespace

bool TokenStream::SkipOperator(absl::string_view text) {
  if (!IsOperator(text)) return false;
  Next();
  return true;
}

bool TokenStream::SkipName(absl::string_view text) {
  if (!IsName(text)) return false;
  Next();
  return true;
}

absl::Status TokenStream::ExpectOperator(absl::string_view text) {
  return SkipOperator(text) ? absl::OkStatus() : Unexpected(absl::StrCat("'", text, "'"));
}

absl::Status TokenStream::ExpectName(absl::string_view text) {
  return SkipName(text) ? absl::OkStatus() : Unexpected(absl::StrCat("'", text, "'"));
}

absl::Status TokenStream::Expect(Token::Kind kind) {
  if (!Is(kind)) return Unexpected(Describe(kind, ""));
  Next();
  return absl::OkStatus();
}

absl::Status TokenStream::Unexpected(absl::string_view wanted) const {
  return ErrorAt(line(), absl::StrCat(Describe(current().kind, current().text), " stands where ",
                                      wanted, " is expected"));
}

}  // namespace layercake::jinja
