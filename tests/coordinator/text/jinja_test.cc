// The interpreter's limits, errors and marks; what it renders is held against Jinja in
// chat_golden_test.cc.

#include "coordinator/text/jinja/template.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace layercake::jinja {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<MarkedText> Render(absl::string_view source,
                                  const std::vector<Variable>& variables = {},
                                  const Limits& limits = {}) {
  auto parsed = Template::Parse(source);
  if (!parsed.ok()) return parsed.status();
  return (*parsed)->Render(variables, limits, Clock::Real());
}

// The output with untrusted bytes as capital letters. REQUIRES: it has no capital letters.
std::string Marked(absl::string_view source, const std::vector<Variable>& variables) {
  auto text = Render(source, variables);
  EXPECT_OK(text);
  if (!text.ok()) return "";
  std::string shown = text->text();
  for (size_t i = 0; i < shown.size(); ++i) {
    if (text->AnyUntrusted(i, i + 1)) shown[i] = absl::ascii_toupper(shown[i]);
  }
  return shown;
}

TEST(JinjaTest, MarksFollowTheTextThroughEveryOperation) {
  const std::vector<Variable> vars = {{"u", " usr,x ", true}, {"t", "trs"}};
  EXPECT_EQ(Marked("a{{ u }}b{{ t }}", vars), "a USR,X btrs");
  EXPECT_EQ(Marked("{{ (u | trim ~ t)[2:7] }}", vars), "R,Xtr");
  EXPECT_EQ(Marked("{{ u.split(',')[0].strip() + '<' + t }}", vars), "USR<trs");
  EXPECT_EQ(Marked("{{ t | replace('r', u | trim) }}", vars), "tUSR,Xs");
  EXPECT_EQ(Marked("{{ u | replace('usr', t) }}", vars), " trs,X ");
  EXPECT_EQ(Marked("{{ [t, u] | join('-') }}", vars), "trs- USR,X ");
  EXPECT_EQ(Marked("{{ {t: u} | tojson }}", vars), "{\"trs\": \" USR,X \"}");
  EXPECT_EQ(Marked("{{ [u, t] }}", vars), "[' USR,X ', 'trs']");
  EXPECT_EQ(Marked("{% set b %}[{{ u | upper | lower }}]{% endset %}{{ b * 2 }}", vars),
            "[ USR,X ][ USR,X ]");
  EXPECT_EQ(Marked("{% macro m(x) %}({{ x }}){% endmacro %}{{ m(u) }}", vars), "( USR,X )");
  EXPECT_EQ(Marked("{% for c in u | trim %}{{ c }}.{% endfor %}", vars), "U.S.R.,.X.");
  EXPECT_EQ(Marked("{{ '%s|%s' % (u, t) }}{{ '{}'.format(u) }}", vars), " USR,X |trs USR,X ");
  EXPECT_EQ(Marked("{{ u | indent(2, true) }}", vars), "   USR,X ");
  EXPECT_EQ(Marked("{{ u | reverse | list | last }}{{ u | trim | capitalize }}", vars), " USR,X");
  EXPECT_EQ(Marked("{{ 'user' ~ r }}", {{"r", "user", true}}), "useruser");  // a role's name
}

TEST(JinjaTest, ErrorsNameTheLine) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const auto at = [](int line, absl::string_view what) {
    return AllOf(HasSubstr(absl::StrCat("line ", line, ":")), HasSubstr(what));
  };
  EXPECT_THAT(Render("a\n\n{{ x.y }}"), StatusIs(code, at(3, "'x' is undefined")));
  EXPECT_THAT(Render("{# \n #}\n{% for x in 3 %}{% endfor %}"), StatusIs(code, at(3, "int")));
  EXPECT_THAT(Render("\n{{ 1 + }}"), StatusIs(code, at(2, "'}}'")));
  EXPECT_THAT(Render("\n\n{% if x %}"), StatusIs(code, HasSubstr("never ends")));
  EXPECT_THAT(Render("\n{{ 'abc"), StatusIs(code, at(2, "does not end")));
  EXPECT_THAT(Render("{{ x | nothing }}"), StatusIs(code, at(1, "no filter 'nothing'")));
  EXPECT_THAT(Render("{{ x is nothing }}"), StatusIs(code, at(1, "no test 'nothing'")));
  EXPECT_THAT(Render("{% include 'x' %}"), StatusIs(code, at(1, "'include'")));
  EXPECT_THAT(Render("\n{{ raise_exception('No!') }}"), StatusIs(code, at(2, "No!")));
  EXPECT_THAT(Render("{{ 1 // 0 }}"), StatusIs(code, at(1, "division by zero")));
  EXPECT_THAT(Render("{{ 9223372036854775807 + 1 }}"), StatusIs(code, at(1, "64 bits")));
  EXPECT_THAT(Render("{{ [1].append(2) }}"), StatusIs(code, at(1, "cannot change a list")));
  EXPECT_THAT(Render("{{ 'a' + 1 }}"), StatusIs(code, at(1, "str and int")));
  EXPECT_THAT(Render("\xFF"), StatusIs(code, HasSubstr("UTF-8")));
}

TEST(JinjaTest, HostileTemplatesEndInWords) {
  const auto code = absl::StatusCode::kResourceExhausted;
  const std::string loop = "{% for i in range(90000) %}";
  Limits small;
  small.bytes = 1 << 20;
  EXPECT_THAT(Render(loop + loop + "{% endfor %}{% endfor %}"), StatusIs(code, HasSubstr("steps")));
  EXPECT_THAT(Render("{{ 'x' * 2000000000 }}"), StatusIs(code, HasSubstr("more than")));
  EXPECT_THAT(Render("{{ [0] * 2000000000 }}"), StatusIs(code, HasSubstr("more than")));
  EXPECT_THAT(Render("{{ 'x' * 9223372036854775807 }}"), StatusIs(code, HasSubstr("too long")));
  EXPECT_THAT(Render("{{ range(9999999999) }}"), StatusIs(code, HasSubstr("range")));
  EXPECT_THAT(Render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              StatusIs(code, HasSubstr("levels")));
  EXPECT_THAT(Render("{% set s = 'xx' * 1000000 %}" + loop + "{{ s }}{% endfor %}"),
              StatusIs(code, HasSubstr("writes more")));
  EXPECT_THAT(
      Render("{% set n = namespace(s='x') %}" + loop + "{% set n.s = n.s ~ n.s %}{% endfor %}", {},
             small),
      StatusIs(code, HasSubstr("of text")));
  EXPECT_THAT(Render("{{ ('x' * 9000) | replace('', 'y' * 9000) }}", {}, small),
              StatusIs(code, HasSubstr("of text")));
}

TEST(JinjaTest, DeepNestingEndsInWords) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Render("{{ " + std::string(5000, '(')), StatusIs(code, HasSubstr("does not end")));
  EXPECT_THAT(Render("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"),
              StatusIs(code, HasSubstr("nested deeper")));
  EXPECT_THAT(Render("{{ " + std::string(5000, '-') + "1 }}"), StatusIs(code, HasSubstr("signs")));
  std::string blocks, branches = "{% if 0 %}";
  for (int i = 0; i < 5000; ++i) blocks += "{% if 1 %}";
  for (int i = 0; i < 5000; ++i) branches += "{% elif 0 %}";
  EXPECT_THAT(Render(blocks), StatusIs(code, HasSubstr("nested deeper")));
  EXPECT_THAT(Render(branches + "{% endif %}"), StatusIs(code, HasSubstr("nested deeper")));
  for (const char* link :
       {" + 1", " or 1", " and 1", " ~ 1", ".x", "[0]", "|int", " is none", " if 1", "()"}) {
    std::string chain = "1";
    for (int i = 0; i < 200'000; ++i) chain += link;
    EXPECT_THAT(Render("{{ " + chain + " }}"), StatusIs(code, HasSubstr("in a row"))) << link;
  }
}

TEST(JinjaTest, ValuesThatHoldThemselvesAreHarmless) {
  EXPECT_OK(Render("{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n, n.l] %}{{ n.l }}"));
  // A hundred thousand lists in each other, built in a loop and printed.
  EXPECT_OK(
      Render("{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = [n.l] %}"
             "{% endfor %}{{ n.l | string | length }}{{ n.l == [n.l] }}"));
  EXPECT_THAT(Render("{% set n = namespace() %}{% set n.n = n %}{{ n | tojson }}"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Render("{% set k = namespace() %}{% macro m() %}{% set k.c = caller %}{% endmacro %}"
                     "{% call m() %}x{% endcall %}{{ k.c() }}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has ended")));
}

}  // namespace
}  // namespace layercake::jinja
