#include "common/options/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "common/rpc/protocol.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OptionsTest : public ::testing::Test {
 protected:
  ~OptionsTest() override {
    for (const std::string& name : environment_) unsetenv(name.c_str());
  }

  void SetEnvironment(const std::string& name, const std::string& value) {
    environment_.push_back(name);
    setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  }

  std::string ConfigFile(const std::string& text) {
    const std::string path = ::testing::TempDir() + "/options_test.toml";
    std::ofstream(path) << text;
    return path;
  }

  // Parses `args` for a program with a few options, keeping what it printed.
  std::optional<int> Parse(std::vector<const char*> args) {
    auto app = MakeApp("layercake-test", "Tests the options.");
    AddBytesOption(*app, "--memory", &memory_, "How much");
    app->add_option("--model-root", model_root_, "Where");
    app->add_flag("--exit-with-parent", exit_with_parent_, "Or not");
    CLI::App* serve = app->add_subcommand("serve", "Serves.");
    serve->add_option("--listen", listen_, "Where");
    args.insert(args.begin(), "layercake-test");
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const auto code = ParseCommandLine(*app, static_cast<int>(args.size()), args.data());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  int64_t memory_ = 0;
  std::string model_root_, listen_;
  bool exit_with_parent_ = false;
  std::string out_, err_;
  std::vector<std::string> environment_;
};

TEST_F(OptionsTest, EveryFlagHasAnEnvironmentName) {
  SetEnvironment("LAYERCAKE_MEMORY", "3GiB");
  SetEnvironment("LAYERCAKE_MODEL_ROOT", "/models");
  SetEnvironment("LAYERCAKE_EXIT_WITH_PARENT", "true");
  SetEnvironment("LAYERCAKE_LISTEN", "0.0.0.0:1");
  EXPECT_EQ(Parse({"serve"}), std::nullopt) << err_;
  EXPECT_EQ(memory_, int64_t{3} << 30);
  EXPECT_EQ(model_root_, "/models");
  EXPECT_TRUE(exit_with_parent_);
  EXPECT_EQ(listen_, "0.0.0.0:1");
}

TEST_F(OptionsTest, CommandLineWinsOverEnvironmentWinsOverConfigFile) {
  const std::string file =
      ConfigFile("memory = \"1GiB\"\nmodel-root = \"/file\"\n[serve]\nlisten = \"file:1\"\n");
  SetEnvironment("LAYERCAKE_CONFIG", file);
  EXPECT_EQ(Parse({"serve"}), std::nullopt) << err_;
  EXPECT_EQ(memory_, int64_t{1} << 30);
  EXPECT_EQ(listen_, "file:1");

  SetEnvironment("LAYERCAKE_MEMORY", "2GiB");
  SetEnvironment("LAYERCAKE_MODEL_ROOT", "/environment");
  EXPECT_EQ(Parse({"--model-root", "/line", "serve"}), std::nullopt) << err_;
  EXPECT_EQ(memory_, int64_t{2} << 30);
  EXPECT_EQ(model_root_, "/line");

  SetEnvironment("LAYERCAKE_CONFIG", "/no/such/file");
  EXPECT_EQ(Parse({"--config", file.c_str(), "serve"}), std::nullopt) << err_;
  EXPECT_EQ(Parse({"serve"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("LAYERCAKE_CONFIG: there is no file /no/such/file"));
}

TEST_F(OptionsTest, MistakesAreOneLineAndExitWithUsage) {
  const struct {
    std::vector<const char*> args;
    const char* words;
  } kCases[] = {
      {{"--memory", "much"}, "\"much\" is not a size"},
      {{"--memori", "1GiB"}, "--memori"},
      {{"--log-level", "loud"}, "--log-level"},
      {{"--config", "/no/such/file"}, "/no/such/file"},
  };
  for (const auto& mistake : kCases) {
    EXPECT_EQ(Parse(mistake.args), kExitUsage);
    EXPECT_THAT(err_, AllOf(StartsWith("layercake-test: "), HasSubstr(mistake.words),
                            HasSubstr("see layercake-test --help")));
    EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << err_;
  }
}

TEST_F(OptionsTest, AMisspeltKeyOrAMissingConfigFileIsAMistake) {
  const std::string file = ConfigFile("memroy = \"1GiB\"\n");
  EXPECT_EQ(Parse({"--config", file.c_str()}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("memroy"));
  SetEnvironment("LAYERCAKE_CONFIG", "/no/such/file");
  EXPECT_EQ(Parse({}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("/no/such/file"));
}

TEST_F(OptionsTest, VersionAndHelpExitWithoutComplaint) {
  EXPECT_EQ(Parse({"--version"}), kExitOk);
  EXPECT_EQ(out_, std::string("layercake-test ") + kVersion + "\n");
  EXPECT_EQ(Parse({"--help"}), kExitOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("LAYERCAKE_MEMORY"), HasSubstr("LAYERCAKE_CONFIG")));
  EXPECT_EQ(err_, "");
}

}  // namespace
}  // namespace layercake
