#include "coordinator/text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/error.h"
#include "coordinator/text/jinja/string_literal.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

// Longer ones first.
constexpr std::array<absl::string_view, 26> kOperators = {
    "==", "!=", ">=", "<=", "//", "**", "+", "-", "*", "/", "%", "~", ">",
    "<",  "=",  "(",  ")",  "[",  "]",  "{", "}", ",", ":", ".", "|", ";"};

size_t TrimmedSize(absl::string_view text) {
  size_t end = 0;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeUtf8(text, pos);
    pos += c.length;
    if (!IsWhiteSpace(c.value)) end = pos;
  }
  return end;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : in_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (pos_ < in_.size()) {
      const size_t tag = NextTag();
      if (tag == std::string::npos) {
        EmitText(Rest());
        pos_ = in_.size();
        break;
      }
      LC_RETURN_IF_ERROR(ReadTag(tag));
    }
    Emit(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  absl::string_view Rest() const { return absl::string_view(in_).substr(pos_); }
  bool At(absl::string_view text) const { return absl::StartsWith(Rest(), text); }
  void Emit(Token::Kind kind, absl::string_view text) {
    tokens_.push_back({kind, std::string(text), line_});
  }
  void EmitText(absl::string_view text) {
    if (!text.empty()) Emit(Token::Kind::kText, text);
    line_ += static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }
  void Skip(size_t bytes) {
    line_ += static_cast<int>(std::count(in_.begin() + pos_, in_.begin() + pos_ + bytes, '\n'));
    pos_ += bytes;
  }

  size_t NextTag() const {
    for (size_t i = in_.find('{', pos_); i != std::string::npos; i = in_.find('{', i + 1)) {
      if (i + 1 < in_.size() && absl::StrContains("%{#", in_.substr(i + 1, 1))) return i;
    }
    return std::string::npos;
  }

  // Emits the text up to the tag at `tag`, less what the tag's opening strips, and then the tag.
  absl::Status ReadTag(size_t tag) {
    absl::string_view text = absl::string_view(in_).substr(pos_, tag - pos_);
    const absl::string_view opening = absl::string_view(in_).substr(tag, 2);
    const char sign = tag + 2 < in_.size() ? in_[tag + 2] : '\0';
    const size_t text_size = text.size();
    if (sign == '-') {
      text = text.substr(0, TrimmedSize(text));
    } else if (sign != '+' && opening != "{{") {
      // lstrip_blocks: a block that is first on its line takes the line's indentation along.
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == absl::string_view::npos ? 0 : newline + 1;
      const bool blank = text.find_first_not_of(" \t", line_begin) == absl::string_view::npos;
      if (blank && (line_begin > 0 || line_starting_)) text = text.substr(0, line_begin);
    }
    const int line = line_;
    EmitText(text);
    line_ = line;
    Skip(text_size + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (opening == "{#") return ReadComment();
    if (opening == "{{") return ReadExpression(Token::Kind::kVariableBegin, "}}");
    if (IsRawBlock()) return ReadRaw();
    return ReadExpression(Token::Kind::kBlockBegin, "%}");
  }

  absl::Status ReadComment() {
    const size_t end = in_.find("#}", pos_);
    if (end == std::string::npos) return ErrorAt(line_, "a comment that does not end");
    const char sign = end > pos_ ? in_[end - 1] : '\0';
    Skip(end - pos_);
    CloseTag(sign, "#}");
    return absl::OkStatus();
  }

  // Passes the closing of a tag, whose `sign` stood before it, and the white space it takes along.
  void CloseTag(char sign, absl::string_view closing) {
    Skip(closing.size());
    line_starting_ = false;
    if (sign == '-') {
      const absl::string_view rest = Rest();
      size_t blank = 0;
      while (blank < rest.size()) {
        const CodePoint c = DecodeUtf8(rest, blank);
        if (!IsWhiteSpace(c.value)) break;
        blank += c.length;
      }
      line_starting_ = blank > 0 && rest[blank - 1] == '\n';
      Skip(blank);
    } else if (sign != '+' && closing != "}}" && At("\n")) {
      line_starting_ = true;
      Skip(1);
    }
  }

  // Whether the block just opened is {% raw %}; if so passes it.
  bool IsRawBlock() {
    size_t i = pos_;
    const auto skip_blank = [&] {
      while (i < in_.size() && absl::ascii_isspace(in_[i])) ++i;
    };
    skip_blank();
    if (in_.compare(i, 3, "raw") != 0) return false;
    i += 3;
    skip_blank();
    const char sign = i < in_.size() && (in_[i] == '-' || in_[i] == '+') ? in_[i++] : '\0';
    if (in_.compare(i, 2, "%}") != 0) return false;
    Skip(i - pos_);
    CloseTag(sign, "%}");
    return true;
  }

  absl::Status ReadRaw() {
    for (size_t i = in_.find("{%", pos_); i != std::string::npos; i = in_.find("{%", i + 1)) {
      size_t at = i + 2;
      const bool strip = at < in_.size() && in_[at] == '-';
      if (at < in_.size() && (in_[at] == '-' || in_[at] == '+')) ++at;
      while (at < in_.size() && absl::ascii_isspace(in_[at])) ++at;
      if (in_.compare(at, 6, "endraw") != 0) continue;
      at += 6;
      while (at < in_.size() && absl::ascii_isspace(in_[at])) ++at;
      const char sign = at < in_.size() && (in_[at] == '-' || in_[at] == '+') ? in_[at++] : '\0';
      if (in_.compare(at, 2, "%}") != 0) continue;
      absl::string_view text = absl::string_view(in_).substr(pos_, i - pos_);
      if (strip) text = text.substr(0, TrimmedSize(text));
      const int line = line_;
      EmitText(text);
      line_ = line;
      Skip(at - pos_);
      CloseTag(sign, "%}");
      return absl::OkStatus();
    }
    return ErrorAt(line_, "a raw block without endraw");
  }

  absl::Status ReadExpression(Token::Kind begin, absl::string_view closing) {
    Emit(begin, "");
    const int first_line = line_;
    std::string open;  // brackets that wait for their closing
    while (true) {
      while (pos_ < in_.size() && absl::ascii_isspace(in_[pos_])) Skip(1);
      if (pos_ >= in_.size()) return ErrorAt(first_line, "a tag that does not end");
      if (open.empty()) {
        const char sign =
            in_[pos_] == '-' || (in_[pos_] == '+' && closing == "%}") ? in_[pos_] : '\0';
        if (absl::StartsWith(Rest().substr(sign == '\0' ? 0 : 1), closing)) {
          Emit(begin == Token::Kind::kBlockBegin ? Token::Kind::kBlockEnd
                                                 : Token::Kind::kVariableEnd,
               "");
          if (sign != '\0') Skip(1);
          CloseTag(sign, closing);
          return absl::OkStatus();
        }
      }
      LC_RETURN_IF_ERROR(ReadToken(&open));
    }
  }

  absl::Status ReadToken(std::string* open) {
    const auto c = static_cast<unsigned char>(in_[pos_]);
    if (absl::ascii_isalpha(c) || c == '_' || c >= 0x80) {
      size_t end = pos_;
      while (end < in_.size() && (absl::ascii_isalnum(in_[end]) || in_[end] == '_' ||
                                  static_cast<unsigned char>(in_[end]) >= 0x80)) {
        ++end;
      }
      Emit(Token::Kind::kName, Rest().substr(0, end - pos_));
      Skip(end - pos_);
      return absl::OkStatus();
    }
    if (absl::ascii_isdigit(c)) return ReadNumber();
    if (c == '"' || c == '\'') return ReadString(static_cast<char>(c));
    return ReadOperator(open);
  }

  absl::Status ReadNumber() {
    size_t end = pos_;
    const auto digits = [&] {
      while (end < in_.size() && (absl::ascii_isdigit(in_[end]) || in_[end] == '_')) ++end;
    };
    const auto digit_at = [&](size_t i) { return i < in_.size() && absl::ascii_isdigit(in_[i]); };
    digits();
    bool is_float = false;
    if (end < in_.size() && in_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      ++end;
      digits();
    }
    if (end < in_.size() && (in_[end] == 'e' || in_[end] == 'E')) {
      const size_t sign = end + 1 < in_.size() && (in_[end + 1] == '+' || in_[end + 1] == '-');
      if (digit_at(end + 1 + sign)) {
        is_float = true;
        end += 1 + sign;
        digits();
      }
    }
    const std::string text = absl::StrReplaceAll(Rest().substr(0, end - pos_), {{"_", ""}});
    Emit(is_float ? Token::Kind::kFloat : Token::Kind::kInteger, text);
    Skip(end - pos_);
    return absl::OkStatus();
  }

  absl::Status ReadString(char quote) {
    size_t end = pos_ + 1;
    while (end < in_.size() && in_[end] != quote) end += in_[end] == '\\' ? 2 : 1;
    if (end >= in_.size()) return ErrorAt(line_, "a string that does not end");
    LC_ASSIGN_OR_RETURN(const std::string value,
                        UnescapeString(Rest().substr(1, end - pos_ - 1), line_));
    Emit(Token::Kind::kString, value);
    Skip(end + 1 - pos_);
    return absl::OkStatus();
  }

  absl::Status ReadOperator(std::string* open) {
    for (const absl::string_view op : kOperators) {
      if (!At(op)) continue;
      if (absl::StrContains("([{", op))
        open->push_back(op[0] == '(' ? ')' : op[0] == '[' ? ']' : '}');
      if (absl::StrContains(")]}", op)) {
        if (open->empty() || open->back() != op[0]) {
          return ErrorAt(line_, absl::StrCat("unexpected '", op, "'"));
        }
        open->pop_back();
      }
      Emit(Token::Kind::kOperator, op);
      Skip(op.size());
      return absl::OkStatus();
    }
    return ErrorAt(line_, absl::StrCat("unexpected character '", Rest().substr(0, 1), "'"));
  }

  const std::string in_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source) {
  std::string text = absl::StrReplaceAll(source, {{"\r\n", "\n"}, {"\r", "\n"}});
  if (absl::EndsWith(text, "\n")) text.pop_back();
  return Lexer(std::move(text)).Run();
}

}  // namespace layercake::jinja
