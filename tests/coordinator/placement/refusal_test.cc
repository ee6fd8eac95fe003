// Refusals of what does not fit: the ways out that they name, each of which must give a plan.

#include "coordinator/placement/refusal.h"

#include <functional>

#include "coordinator/placement/planner.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr double kGiB = 1 << 30;

std::vector<std::string> WaysOut(const ModelConfig& model, const Fleet& fleet,
                                 const v1::PlanOptions& options) {
  const auto refusal = RefusalOf(MakePlan(model, fleet, options, "m").status());
  if (!refusal.has_value()) return {"no refusal"};
  return {refusal->ways_out().begin(), refusal->ways_out().end()};
}

v1::PlanOptions WithContext(int tokens) {
  v1::PlanOptions options;
  options.set_context_tokens(tokens);
  return options;
}

TEST(RefusalTest, CarriesItsFiguresForPrograms) {
  const absl::Status status =
      MakePlan(Llama3_8B(), std::vector{Gpu("card", 10 * kGiB)}, WithContext(8192), "llama")
          .status();
  const auto refusal = RefusalOf(status);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->model(), "llama");
  EXPECT_GT(refusal->needed_bytes(), 15 * kGiB);
  EXPECT_EQ(refusal->needed_bytes() - refusal->usable_bytes(), refusal->short_bytes());
  EXPECT_EQ(refusal->short_worker(), "");
  EXPECT_THAT(std::string(status.message()), HasSubstr(refusal->shortfall()));
  EXPECT_FALSE(RefusalOf(absl::ResourceExhaustedError("the queue is full")).has_value());
}

TEST(RefusalTest, NamesTheMostPreciseWeightsThatFit) {
  const std::vector<PlannerDevice> card = {Gpu("card", 12 * kGiB)};
  EXPECT_THAT(WaysOut(Llama3_8B(), card, WithContext(8192)),
              AllOf(Contains("--weights int8"), Not(Contains("--weights int4"))));
  // Workers do not make other weights of a quantized checkpoint's.
  ModelConfig quantized = Llama3_8B();
  quantized.quantization = Quantization{.method = "gptq", .bits = 8};
  EXPECT_THAT(WaysOut(quantized, std::vector{Gpu("card", 8 * kGiB)}, WithContext(8192)),
              Not(Contains(StartsWith("--weights"))));
}

TEST(RefusalTest, TheBatchThatItNamesIsPlannedAndOneMoreIsNot) {
  const std::vector<PlannerDevice> card = {Gpu("card", 20 * kGiB)};
  v1::PlanOptions options = WithContext(4096);
  options.set_batch_sequences(100'000);
  int batch = 0;
  for (const std::string& way : WaysOut(Llama3_8B(), card, options)) {
    if (way.starts_with("--batch ")) batch = std::stoi(way.substr(8));
  }
  ASSERT_GT(batch, 16);
  options.set_batch_sequences(batch);
  EXPECT_OK(MakePlan(Llama3_8B(), card, options, "m").status());
  options.set_batch_sequences(batch + 1);
  EXPECT_THAT(MakePlan(Llama3_8B(), card, options, "m"),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(RefusalTest, NamesASmallerReserve) {
  v1::PlanOptions options = WithContext(4096);
  (*options.mutable_reserve_bytes())["card"] = static_cast<uint64_t>(6 * kGiB);
  const std::vector<PlannerDevice> card = {Gpu("card", 20 * kGiB)};
  EXPECT_THAT(WaysOut(Llama3_8B(), card, options), Contains(StartsWith("--reserve ")));
  options.clear_reserve_bytes();
  EXPECT_THAT(WaysOut(Llama3_8B(), std::vector{Gpu("card", 10 * kGiB)}, options),
              Not(Contains(StartsWith("--reserve "))));
}

TEST(RefusalTest, NamesDevicesThatFlagsLeaveOut) {
  const std::vector<PlannerDevice> cards = {Gpu("a", 12 * kGiB), Gpu("b", 12 * kGiB)};
  v1::PlanOptions options = WithContext(4096);
  options.add_exclude("b");
  EXPECT_THAT(WaysOut(Llama3_8B(), cards, options), Contains("without --exclude"));
  options.clear_exclude();
  options.add_order("a");
  EXPECT_THAT(WaysOut(Llama3_8B(), cards, options),
              AllOf(Contains("an --order that names all workers"), Not(Contains("another --order")),
                    Not(Contains("without --exclude"))));
}

TEST(RefusalTest, NamesThePolicyThatFits) {
  const std::vector<PlannerDevice> cards = {Gpu("a", 12 * kGiB), Gpu("b", 12 * kGiB)};
  v1::PlanOptions options = WithContext(4096);
  options.set_policy(v1::PlanOptions::POLICY_PROPORTIONAL);
  options.add_split(1);
  options.add_split(0);
  EXPECT_THAT(WaysOut(Llama3_8B(), cards, options), Contains("--policy auto without --split"));
  options.clear_split();
  options.set_policy(v1::PlanOptions::POLICY_MANUAL);
  auto* range = options.add_manual();
  range->set_worker("a");
  range->set_num_layers(32);
  EXPECT_THAT(WaysOut(Llama3_8B(), cards, options), Contains("--policy auto without --layers"));
}

TEST(RefusalTest, NamesHigherCapsWhenTheyHelp) {
  v1::PlanOptions options = WithContext(4096);
  (*options.mutable_max_memory_bytes())["gpu"] = 4'000'000'000;
  EXPECT_THAT(WaysOut(Llama3_8B(), std::vector{Gpu("gpu", 48e9)}, options),
              AllOf(Contains("a higher --max-memory"), Not(Contains(HasSubstr("own")))));
  EXPECT_THAT(WaysOut(Llama3_8B(), std::vector{Gpu("gpu", 5e9)}, options),
              Not(Contains(HasSubstr("max-memory"))));
  PlannerDevice capped = Cpu("cpu", 4e9);
  capped.device.set_cap_bytes(4'000'000'000);
  capped.device.set_total_bytes(static_cast<uint64_t>(64 * kGiB));
  EXPECT_THAT(WaysOut(Llama3_8B(), std::vector{capped}, WithContext(4096)),
              Contains(StartsWith("higher caps of the workers' own")));
}

TEST(RefusalTest, ANewWorkerIsNamedOnlyWhereItIsEnough) {
  const std::vector<PlannerDevice> card = {Gpu("card", 10 * kGiB)};
  EXPECT_THAT(WaysOut(Llama3_8B(), card, WithContext(4096)),
              Contains(StartsWith("one more worker with ")));
  v1::PlanOptions three = WithContext(4096);
  three.set_replicas(3);
  const std::vector<PlannerDevice> cards = {Gpu("a", kGiB), Gpu("b", kGiB), Gpu("c", kGiB)};
  EXPECT_THAT(WaysOut(Llama3_8B(), cards, three),
              Not(Contains(StartsWith("one more worker with "))));
}

}  // namespace
}  // namespace layercake
