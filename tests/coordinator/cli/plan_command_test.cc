// `layercake plan` over devices described, as a person runs it.

#include <fstream>

#include "common/options/options.h"
#include "tests/coordinator/cli/fake_coordinator.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

constexpr char kLlama[] = LAYERCAKE_SOURCE_DIR "/tests/configs/llama-3-8b.json";

TEST_F(CliTest, PlanRefusesADirectoryForAClusterFile) {
  const Outcome outcome = Run({"plan", kLlama, "--cluster", ::testing::TempDir()});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_THAT(outcome.err, HasSubstr("is a directory; --cluster is \"live\" or a file"));
}

}  // namespace
}  // namespace layercake
