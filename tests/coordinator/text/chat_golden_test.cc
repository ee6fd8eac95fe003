// Every recorded chat template case, rendered as transformers did.

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "coordinator/text/chat_template.h"
#include "coordinator/text/jinja/template.h"
#include "tests/coordinator/text/golden.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

class FixedClock : public Clock {
 public:
  explicit FixedClock(absl::Time now) : now_(now) {}
  absl::Time Now() const override { return now_; }

 private:
  const absl::Time now_;
};

FixedClock GoldenClock(const OrderedJson& golden) {
  absl::Time now;
  std::string error;
  EXPECT_TRUE(absl::ParseTime("%Y-%m-%dT%H:%M:%S", golden["now"].get<std::string>(),
                              absl::LocalTimeZone(), &now, &error))
      << error;
  return FixedClock(now);
}

std::string Source(const OrderedJson& test) {
  if (test.contains("source")) return test["source"].get<std::string>();
  return ReadAll(GoldenPath("chat_templates/" + test["file"].get<std::string>()));
}

// What transformers passes to a template.
std::vector<jinja::Variable> Variables(const OrderedJson& test) {
  std::vector<jinja::Variable> variables = {{"messages", OrderedJson::array()},
                                            {"tools", nullptr},
                                            {"documents", nullptr},
                                            {"add_generation_prompt", false}};
  for (const auto& [name, value] : test["variables"].items()) {
    variables.push_back({name, value, /*untrusted=*/true});
  }
  return variables;
}

TEST(ChatGoldenTest, RendersEveryCase) {
  const OrderedJson golden = ReadOrderedGolden("chat_templates/expected.json");
  const FixedClock clock = GoldenClock(golden);
  int rendered = 0;
  int refused = 0;
  for (const OrderedJson& test : golden["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    auto parsed = jinja::Template::Parse(Source(test));
    const auto result = parsed.ok() ? (*parsed)->Render(Variables(test), jinja::Limits(), &clock)
                                    : absl::StatusOr<MarkedText>(parsed.status());
    if (!test.contains("error")) {
      ASSERT_OK(result);
      EXPECT_EQ(result->text(), test["rendered"].get<std::string>());
      ++rendered;
    } else {
      const bool raised = test["error"] == "raised";
      EXPECT_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr(raised ? test["message"].get<std::string>() : "line")))
          << (result.ok() ? result->text() : "");
      ++refused;
    }
  }
  EXPECT_GE(rendered, 160);
  EXPECT_GE(refused, 20);
  std::cout << rendered << " cases rendered alike, " << refused << " refused\n";
}

TEST(ChatGoldenTest, SpecialTokensSpeltInMessagesStayText) {
  const OrderedJson golden = ReadOrderedGolden("chat_templates/ids.json");
  for (const OrderedJson& test : golden["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const std::string directory = GoldenPath("tokenizers/" + test["tokenizer"].get<std::string>());
    LC_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load(directory));
    std::map<std::string, std::string> named_tokens;
    std::vector<ChatMessage> messages;
    for (const auto& [name, value] : test["variables"].items()) {
      if (name.find("_token") != std::string::npos && value.is_string()) {
        named_tokens[name] = value.get<std::string>();
      }
    }
    for (const OrderedJson& message : test["variables"]["messages"]) {
      messages.push_back({message["role"], message["content"]});
    }
    LC_ASSERT_OK_AND_ASSIGN(const auto chat_template,
                            ChatTemplate::Parse(Source(test), named_tokens));
    const FixedClock clock = GoldenClock(golden);
    ChatOptions options;
    options.clock = &clock;
    LC_ASSERT_OK_AND_ASSIGN(const MarkedText text, chat_template->Render(messages, options));
    EXPECT_EQ(text.text(), test["rendered"].get<std::string>());
    LC_ASSERT_OK_AND_ASSIGN(const auto ids,
                            ChatPrompt(*tokenizer, *chat_template, messages, options));
    EXPECT_EQ(ids, Ids(test["ids"]));
  }
  EXPECT_GE(golden["cases"].size(), 40u);
}

}  // namespace
}  // namespace layercake
