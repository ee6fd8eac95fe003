#include "common/model/module_pattern.h"

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr char kGate[] = "model.layers.3.mlp.gate";
constexpr char kGateProj[] = "model.layers.3.mlp.gate_proj";

TEST(ModulePatternTest, NamesMatchWholeComponents) {
  EXPECT_TRUE(MatchesModule("gate", kGate));
  EXPECT_TRUE(MatchesModule("model.layers.3.mlp.gate", kGate));
  EXPECT_TRUE(MatchesModule("mlp", kGateProj));
  EXPECT_FALSE(MatchesModule("gate", kGateProj));
  EXPECT_FALSE(MatchesModule("layers.3.mlp.gate", "model.layers.33.mlp.gate"));
  EXPECT_FALSE(MatchesModule("", kGate));
}

TEST(ModulePatternTest, ExpressionsMatchFromTheStart) {
  EXPECT_TRUE(MatchesModule("re:.*mlp\\.(gate|up|gate_up|down)_proj.*", kGateProj));
  EXPECT_FALSE(MatchesModule("re:.*mlp\\.(gate|up|gate_up|down)_proj.*", kGate));
  EXPECT_TRUE(MatchesModule("re:.*self_attn.*", "model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(MatchesModule("re:self_attn", "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(MatchesModule("re:.*mlp.gate$", kGate));
  EXPECT_FALSE(MatchesModule("re:.*mlp.gate$", kGateProj));
  EXPECT_TRUE(MatchesModule("re:^model.*", kGate));
  EXPECT_TRUE(MatchesModule("re:.*", ""));
  EXPECT_FALSE(MatchesModule("re:.", ""));
}

TEST(ModulePatternTest, ManyStarsTakeNoTime) {
  std::string stars = "re:";
  for (int i = 0; i < 200; ++i) stars += ".*a";
  EXPECT_FALSE(MatchesModule(stars, std::string(150, 'a')));
}

TEST(ModulePatternTest, OtherExpressionsAreRefused) {
  for (const char* pattern : {"re:a+", "re:[ab]", "re:(a|(b))", "re:(a", "re:a)", "re:a$b",
                              "re:\\d", "re:a{2}", "re:*"}) {
    EXPECT_THAT(CheckModulePattern(pattern),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(pattern)));
  }
  EXPECT_OK(CheckModulePattern("lm_head (any text) is a name"));
}

}  // namespace
}  // namespace layercake
