#include "coordinator/text/regex.h"

#include "coordinator/text/regex_dialect.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The spans of `text`, matches in angle brackets.
std::vector<std::string> Spans(const Regex& regex, absl::string_view text) {
  std::vector<std::string> spans;
  EXPECT_OK(regex.ForEachSpan(text, [&](size_t begin, size_t end, bool is_match) {
    const std::string span(text.substr(begin, end - begin));
    spans.push_back(is_match ? "<" + span + ">" : span);
  }));
  return spans;
}

std::vector<std::string> Spans(absl::string_view pattern, absl::string_view text) {
  auto regex = Regex::Compile(pattern);
  EXPECT_OK(regex);
  return regex.ok() ? Spans(*regex, text) : std::vector<std::string>();
}

TEST(RegexTest, CoversTheTextWithMatchesAndGaps) {
  EXPECT_THAT(Spans("[0-9]+", "ab12c3"), ElementsAre("ab", "<12>", "c", "<3>"));
  EXPECT_THAT(Spans("x", "abc"), ElementsAre("abc"));
  EXPECT_THAT(Spans("x", ""), ElementsAre());
}

TEST(RegexTest, EmptyMatchesSplitButDoNotFollowAMatch) {
  EXPECT_THAT(Spans("(?=[A-Z])", "aBcD"), ElementsAre("a", "<>", "Bc", "<>", "D"));
  EXPECT_THAT(Spans("a*", "baac"), ElementsAre("<>", "b", "<aa>", "c", "<>"));
}

TEST(RegexTest, LooksAheadAndIgnoresCase) {
  EXPECT_THAT(Spans(R"(\s+(?!\S)|\s+)", "a   b"), ElementsAre("a", "<  >", "< >", "b"));
  EXPECT_THAT(Spans("(?i:'s)", "a'S b'\u017F"), ElementsAre("a", "<'S>", " b", "<'\u017F>"));
}

TEST(RegexTest, SpaceIsUnicodeWhiteSpace) {
  EXPECT_THAT(Spans(R"(\s)", "a\u0085\u3000b\u180Ec"),
              ElementsAre("a", "<\u0085>", "<\u3000>", "b\u180Ec"));
  EXPECT_THAT(Spans(R"([^\s\p{L}]+)", "a\u180E b"), ElementsAre("a", "<\u180E>", " b"));
}

TEST(RegexTest, RubyEscapes) {
  EXPECT_THAT(Spans(R"(\h+)", "xAFz"), ElementsAre("x", "<AF>", "z"));
  EXPECT_THAT(Spans(R"(\u0041)", "AB"), ElementsAre("<A>", "B"));
  EXPECT_THAT(Spans("(?m:a.b)", "a\nb"), ElementsAre("<a\nb>"));
  EXPECT_THAT(Spans("a.b", "a\nb"), ElementsAre("a\nb"));
  EXPECT_THAT(Spans("^b", "a\nb"), ElementsAre("a\n", "<b>"));
  EXPECT_THAT(Spans("[]a]", "x]a"), ElementsAre("x", "<]>", "<a>"));
}

TEST(RegexTest, LiteralsMatchThemselves) {
  LC_ASSERT_OK_AND_ASSIGN(const Regex literal, Regex::Literal("a.*[\u2581"));
  EXPECT_THAT(Spans(literal, "xa.*[\u2581"), ElementsAre("x", "<a.*[\u2581>"));
}

TEST(RegexTest, SaysWhatItCannotDo) {
  EXPECT_THAT(Regex::Compile("[a-z&&[^b]]"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("intersection")));
  EXPECT_THAT(Regex::Compile("[a[bc]]"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("inside another")));
  EXPECT_THAT(Regex::Compile(R"(\p{N}{1,3}+)"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("interval")));
  EXPECT_THAT(Regex::Compile("(a"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("(a")));
  EXPECT_THAT(Regex::Compile("\\"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(RegexTest, GivesUpInWordsOnRunawayBacktracking) {
  LC_ASSERT_OK_AND_ASSIGN(const Regex regex, Regex::Compile("(a|aa)+$"));
  EXPECT_THAT(regex.ForEachSpan(std::string(64, 'a') + "c", [](size_t, size_t, bool) {}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("shorter")));
}

}  // namespace
}  // namespace layercake
