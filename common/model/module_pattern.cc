#include "common/model/module_pattern.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/logging.h"

namespace layercake {
namespace {

constexpr absl::string_view kExpression = "re:";
constexpr absl::string_view kSpecial = "\\.*+?()[]{}|^$";

struct Token {
  enum class Kind { kOneOf, kAnyCharacter, kAnyCharacters, kEnd };
  Kind kind;
  std::vector<std::string> literals;  // of kOneOf
};

// The next literal character of `text`, escaped or not; nothing where an operator comes.
std::optional<char> TakeLiteral(absl::string_view& text) {
  if (text.empty()) return std::nullopt;
  const bool escaped = text.size() > 1 && text[0] == '\\' && absl::StrContains(kSpecial, text[1]);
  if (!escaped && absl::StrContains(kSpecial, text[0])) return std::nullopt;
  const char c = text[escaped ? 1 : 0];
  text.remove_prefix(escaped ? 2 : 1);
  return c;
}

// What follows a '(' up to its ')'.
std::optional<Token> TakeGroup(absl::string_view& text) {
  Token token{Token::Kind::kOneOf, {""}};
  while (!absl::ConsumePrefix(&text, ")")) {
    if (absl::ConsumePrefix(&text, "|")) {
      token.literals.emplace_back();
    } else if (const std::optional<char> c = TakeLiteral(text)) {
      token.literals.back() += *c;
    } else {
      return std::nullopt;
    }
  }
  return token;
}

std::optional<std::vector<Token>> Tokenize(absl::string_view text) {
  std::vector<Token> tokens;
  absl::ConsumePrefix(&text, "^");
  while (!text.empty()) {
    if (absl::ConsumePrefix(&text, ".*")) {
      tokens.push_back({Token::Kind::kAnyCharacters, {}});
    } else if (absl::ConsumePrefix(&text, ".")) {
      tokens.push_back({Token::Kind::kAnyCharacter, {}});
    } else if (text == "$") {
      tokens.push_back({Token::Kind::kEnd, {}});
      text = "";
    } else if (absl::ConsumePrefix(&text, "(")) {
      std::optional<Token> group = TakeGroup(text);
      if (!group) return std::nullopt;
      tokens.push_back(*std::move(group));
    } else if (const std::optional<char> c = TakeLiteral(text)) {
      tokens.push_back({Token::Kind::kOneOf, {std::string(1, *c)}});
    } else {
      return std::nullopt;
    }
  }
  return tokens;
}

// Positions in `name` that are reached from `from` by `token`.
std::vector<bool> Step(const Token& token, absl::string_view name, const std::vector<bool>& from) {
  std::vector<bool> to(from.size(), false);
  bool reached = false;
  for (size_t at = 0; at < from.size(); ++at) {
    reached = reached || from[at];
    if (token.kind == Token::Kind::kAnyCharacters) to[at] = reached;
    if (!from[at]) continue;
    if (token.kind == Token::Kind::kAnyCharacter && at < name.size()) to[at + 1] = true;
    if (token.kind == Token::Kind::kEnd && at == name.size()) to[at] = true;
    for (const std::string& literal : token.literals) {
      if (absl::StartsWith(name.substr(at), literal)) to[at + literal.size()] = true;
    }
  }
  return to;
}

bool HasComponents(absl::string_view name, absl::string_view module) {
  return !name.empty() &&
         absl::StrContains(absl::StrCat(".", module, "."), absl::StrCat(".", name, "."));
}

}  // namespace

absl::Status CheckModulePattern(absl::string_view pattern) {
  absl::string_view text = pattern;
  if (!absl::ConsumePrefix(&text, kExpression) || Tokenize(text)) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("the module pattern \"", pattern,
                   "\" is not known; known are literals, \"\\.\", \".\", \".*\", \"(a|b)\" and a "
                   "last \"$\""));
}

bool MatchesModule(absl::string_view pattern, absl::string_view module) {
  if (!absl::ConsumePrefix(&pattern, kExpression)) return HasComponents(pattern, module);
  const std::optional<std::vector<Token>> tokens = Tokenize(pattern);
  CHECK(tokens.has_value());
  std::vector<bool> positions(module.size() + 1, false);
  positions[0] = true;
  for (const Token& token : *tokens) positions = Step(token, module, positions);
  for (const bool position : positions) {
    if (position) return true;
  }
  return false;
}

}  // namespace layercake
