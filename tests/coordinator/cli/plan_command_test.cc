// `layercake plan` over devices described, as a person runs it.

#include <fstream>

#include "common/options/options.h"
#include "tests/coordinator/cli/fake_coordinator.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kLlama[] = LAYERCAKE_SOURCE_DIR "/tests/configs/llama-3-8b.json";

TEST_F(CliTest, PlanRefusesADirectoryForAClusterFile) {
  const Outcome outcome = Run({"plan", kLlama, "--cluster", ::testing::TempDir()});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_THAT(outcome.err, HasSubstr("is a directory; --cluster is \"live\" or a file"));
}

TEST_F(CliTest, PlanInJsonTellsWhatWouldChangeWithACommandToPaste) {
  *admin_.status.mutable_plan() = OneStage("m40");
  admin_.status.mutable_request()->set_model_dir("/models/m");
  admin_.plan = OneStage("p106");
  const Outcome outcome =
      Run({"plan", "/models/m", "--policy", "balanced", "--exclude", "m40", "-o", "json"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("\"p106: joins with layers 0-11\""),
                    HasSubstr("layercake --address " + server_.address() +
                              " load --replace /models/m --policy balanced --exclude m40\"")));
}

TEST_F(CliTest, FlagsThatAPlanInForceCannotHaveAreRefused) {
  *admin_.status.mutable_plan() = OneStage("m40");
  admin_.status.mutable_request()->set_model_dir("/models/m");
  const Outcome plan = Run({"plan", "--policy", "auto", "--max-memory", "1MiB"});
  EXPECT_EQ(plan.code, kExitUsage);
  EXPECT_THAT(plan.err, AllOf(HasSubstr("--policy auto, --max-memory 1MiB"),
                              HasSubstr("add --model /models/m")));
  const Outcome load = Run({"load", "--replace", "--policy", "balanced"});
  EXPECT_EQ(load.code, kExitUsage);
  EXPECT_THAT(load.err, HasSubstr("layercake load --replace /models/m --policy balanced"));
  EXPECT_EQ(admin_.load_request.model_dir(), "");
}

TEST_F(CliTest, ARefusalIsToldProgramsToo) {
  const Outcome outcome = Run({"plan", kLlama, "--device", "card=10GiB", "-o", "json"});
  EXPECT_EQ(outcome.code, kExitFailure);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\"shortfall\": \"it needs"),
                                 HasSubstr("\"shortBytes\""), HasSubstr("\"--weights int8\"")));
  EXPECT_THAT(outcome.err, HasSubstr("does not fit"));
  EXPECT_EQ(Run({"plan", kLlama, "--device", "card=10GiB"}).out, "");
}

TEST_F(CliTest, CardsAreListedForProgramsToo) {
  EXPECT_THAT(
      Run({"plan", "--list-cards", "-o", "json"}).out,
      AllOf(HasSubstr("\"name\": \"tesla-m40\""), HasSubstr("\"memoryBytes\": \"12884901888\"")));
}

TEST_F(CliTest, AFlagGivenTwiceIsRefusedInWords) {
  EXPECT_THAT(Run({"plan", kLlama, "--device", "a=9GB", "--context", "1", "--context", "2"}).err,
              HasSubstr("--context: takes one value, not 2"));
}

TEST_F(CliTest, LoadsThatCannotBePlayedAreRefusedInWords) {
  const struct {
    std::vector<std::string> flags;
    std::string words;
  } kCases[] = {
      {{"--arrival-rate", "0"}, "\"0\" is no number of requests a second from 0.000001 to 1000000"},
      {{"--arrival-rate", "nan"}, "\"nan\" is no number of requests"},
      {{"--seed", "-1"}, "\"-1\" is not a whole number from 0 to 18446744073709551615"},
      {{"--requests", "100000000"}, "\"100000000\" is not a whole number from 1 to 1000000"},
      {{"--concurrency", "0"}, "\"0\" is not a whole number from 1 to"},
      {{"--max-queue", "0"}, "--max-queue"}};
  for (const auto& c : kCases) {
    std::vector<std::string> arguments = {"simulate", kLlama, "--device", "card=24GiB"};
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, kExitUsage) << c.words;
    EXPECT_THAT(outcome.err, HasSubstr(c.words));
    EXPECT_LT(outcome.err.size(), 200u);
  }
}

TEST_F(CliTest, NumbersOutOfRangeAreRefusedInShort) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"serve", "m", "--cpu-workers", "0"},
                                             {"serve", "m", "--max-queue", "0"},
                                             {"bench", "--warmup", "-1"},
                                             {"drain", "--timeout", "-1"}}) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, kExitUsage) << arguments.back();
    EXPECT_LT(outcome.err.size(), 120u) << outcome.err;
  }
}

TEST_F(CliTest, ASimulationTellsWhatItsPlanAssumes) {
  const Outcome outcome = Run({"simulate", kLlama, "--device", "card=24GiB", "--requests", "2"});
  EXPECT_THAT(outcome.out, HasSubstr("\nSpeed assumed, for none was given or measured: "));
  EXPECT_THAT(
      Run({"simulate", kLlama, "--device", "card=24GiB", "--requests", "2", "-o", "json"}).out,
      HasSubstr("\"notes\": [\n  \"Speed assumed"));
}

}  // namespace
}  // namespace layercake
