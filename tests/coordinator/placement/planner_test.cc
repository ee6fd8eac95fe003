#include "coordinator/placement/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/plan_table.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kMiB = 1024.0 * 1024;

std::vector<int> Counts(const v1::Plan& plan) {
  std::vector<int> counts;
  for (const v1::StagePlan& stage : plan.stages()) counts.push_back(stage.num_layers());
  return counts;
}

std::vector<std::string> Workers(const v1::Plan& plan) {
  std::vector<std::string> workers;
  for (const v1::StagePlan& stage : plan.stages()) workers.push_back(stage.worker());
  return workers;
}

std::string ReasonOf(const v1::Plan& plan, const std::string& worker) {
  for (const auto& stage : plan.stages()) {
    if (stage.worker() == worker) return stage.reason();
  }
  for (const auto& excluded : plan.excluded()) {
    if (excluded.worker() == worker) return excluded.reason();
  }
  return "";
}

// The cards that even halves fail on: 12 GB at 288 GB/s and 6 GB at 192 GB/s.
std::vector<PlannerDevice> M40AndP106() { return {Gpu("m40", 12e9), Gpu("p106", 6e9, 192e9)}; }

TEST(PlannerTest, EightBillionInBf16IsRefusedOnTwelveAndSixGigabytesWithFigures) {
  v1::PlanOptions options;
  options.set_context_tokens(8192);
  const absl::Status status = MakePlan(Llama3_8B(), M40AndP106(), options, "llama-3-8b").status();
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("llama-3-8b does not fit"), HasSubstr("weights 15.0 GiB"),
                             HasSubstr("KV of one sequence of 8192 tokens 1.00 GiB"),
                             HasSubstr("m40 10.9 GiB, p106 5.34 GiB"), HasSubstr("short by"),
                             HasSubstr("one more worker with"))));
}

TEST(PlannerTest, TheContextThatARefusalNamesIsPlanned) {
  ModelConfig model = Llama3_8B();
  v1::PlanOptions options;
  options.set_context_tokens(8192);
  const absl::Status refused = MakePlan(model, M40AndP106(), options, "m").status();
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(model, M40AndP106(), {}, "m"));
  EXPECT_LT(plan.max_context_tokens(), 8192);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(absl::StrCat("--context ", plan.max_context_tokens(), ";")));
  EXPECT_THAT(Counts(plan), UnorderedElementsAre(22, 10));
  options.set_context_tokens(plan.max_context_tokens() + 16);
  EXPECT_THAT(MakePlan(model, M40AndP106(), options, "m"),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(PlannerTest, TwentyFourAndEightGigabytesAreCutUnevenly) {
  const std::vector<PlannerDevice> devices = {Gpu("big", 24e9, 936e9), Gpu("small", 8e9, 448e9)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "llama-3-8b"));
  EXPECT_EQ(plan.max_context_tokens(), 8192);
  ASSERT_EQ(plan.stages_size(), 2);
  const v1::StagePlan& big = plan.stages(plan.stages(0).worker() == "big" ? 0 : 1);
  EXPECT_GT(big.num_layers(), 16);
  EXPECT_LT(big.num_layers(), 32);
}

TEST(PlannerTest, LatencyLeavesOutADeviceThatWouldOnlySlowATokenDown) {
  v1::PlanOptions options;
  options.set_objective(v1::PlanOptions::OBJECTIVE_LATENCY);
  const std::vector<PlannerDevice> devices = {Gpu("gpu", 24e9, 936e9), Cpu("cpu", 64e9, 20e9)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, options, "m"));
  EXPECT_THAT(Workers(plan), ElementsAre("gpu"));
  EXPECT_THAT(ReasonOf(plan, "cpu"), HasSubstr("would not help: even one layer takes"));
  EXPECT_THAT(ReasonOf(plan, "gpu"), HasSubstr("holds the whole model"));
}

TEST(PlannerTest, ThroughputLeavesOutADeviceSlowerWithOneLayerThanTheRestWithAll) {
  const std::vector<PlannerDevice> devices = {Gpu("gpu", 48e9, 936e9), Cpu("cpu", 64e9, 2e9)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  EXPECT_THAT(Workers(plan), ElementsAre("gpu"));
  EXPECT_THAT(ReasonOf(plan, "cpu"),
              HasSubstr("would only make a slower part: even one layer takes"));
}

TEST(PlannerTest, CpuTakesWhatTheGpuCannotHold) {
  const std::vector<PlannerDevice> devices = {Gpu("gpu", 12e9, 288e9), Cpu("cpu", 64e9, 20e9)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  EXPECT_EQ(plan.stages_size(), 2);
  EXPECT_THAT(ReasonOf(plan, "gpu"), HasSubstr("as many layers as fit"));
}

TEST(PlannerTest, TooSmallADeviceIsLeftOutWithFigures) {
  const std::vector<PlannerDevice> devices = {Gpu("big", 24e9), Gpu("tiny", 500e6)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  EXPECT_THAT(ReasonOf(plan, "tiny"), AllOf(HasSubstr("too small"), HasSubstr("429 MiB to give")));
}

TEST(PlannerTest, BalancedGivesEqualNumbersAndSpillsWhatDoesNotFit) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  LC_ASSERT_OK_AND_ASSIGN(
      v1::Plan plan,
      MakePlan(TinyModel(7), std::vector{Cpu("a", kGiB), Cpu("b", kGiB)}, options, "m"));
  EXPECT_THAT(Counts(plan), ElementsAre(4, 3));
  LC_ASSERT_OK_AND_ASSIGN(
      plan, MakePlan(Llama3_8B(), std::vector{Gpu("a", 24e9), Gpu("b", 6e9)}, options, "m"));
  EXPECT_LT(plan.stages(1).num_layers(), 16);
  EXPECT_THAT(ReasonOf(plan, "b"), HasSubstr("as many layers as fit"));
}

TEST(PlannerTest, SequentialFillsDevicesInOrder) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_SEQUENTIAL);
  options.add_order("small");
  options.add_order("big");
  options.add_order("spare");
  const std::vector<PlannerDevice> devices = {Gpu("big", 24e9), Gpu("small", 6e9),
                                              Gpu("spare", 24e9)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, options, "m"));
  EXPECT_THAT(Workers(plan), ElementsAre("small", "big"));
  EXPECT_THAT(ReasonOf(plan, "small"), HasSubstr("as many layers as fit"));
  EXPECT_THAT(ReasonOf(plan, "spare"), HasSubstr("no layers were left"));
}

TEST(PlannerTest, ProportionalFollowsTheSplitOrTheMemory) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_PROPORTIONAL);
  options.add_split(1);
  options.add_split(3);
  const std::vector<PlannerDevice> devices = {
      Gpu("a", 48e9),
      Gpu("b", 48e9),
  };
  LC_ASSERT_OK_AND_ASSIGN(v1::Plan plan, MakePlan(Llama3_8B(), devices, options, "m"));
  EXPECT_THAT(Counts(plan), ElementsAre(8, 24));
  options.clear_split();
  LC_ASSERT_OK_AND_ASSIGN(
      plan, MakePlan(Llama3_8B(), std::vector{Gpu("a", 60e9), Gpu("b", 20e9)}, options, "m"));
  EXPECT_THAT(Counts(plan), ElementsAre(24, 8));
}

TEST(PlannerTest, ManualIsTakenAsGivenOrRefusedByDevice) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_MANUAL);
  const auto add = [&options](const std::string& worker, int first, int count) {
    auto* range = options.add_manual();
    range->set_worker(worker);
    range->set_first_layer(first);
    range->set_num_layers(count);
  };
  add("b", 20, 12);
  add("a", 0, 20);
  const std::vector<PlannerDevice> devices = {Gpu("a", 24e9), Gpu("b", 24e9), Gpu("c", 24e9)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, options, "m"));
  EXPECT_THAT(Workers(plan), ElementsAre("a", "b"));
  EXPECT_EQ(ReasonOf(plan, "c"), "not named in --layers");
  const std::vector<PlannerDevice> small = {Gpu("a", 24e9), Gpu("b", 5e9)};
  options.set_context_tokens(8192);
  EXPECT_THAT(MakePlan(Llama3_8B(), small, options, "m"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("worker b needs"), HasSubstr("for layers 20-31 but has"),
                             HasSubstr("--policy auto"))));
}

// What each of `devices`, CPU workers of one host, has available when all hold layers.
std::vector<uint64_t> Available(std::vector<PlannerDevice> devices) {
  for (PlannerDevice& device : devices) device.host = "here";
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  const absl::StatusOr<v1::Plan> plan = MakePlan(TinyModel(4), devices, options, "m");
  std::vector<uint64_t> available;
  if (!plan.ok()) return available;
  for (const v1::StagePlan& stage : plan->stages()) available.push_back(stage.available_bytes());
  return available;
}

PlannerDevice CappedCpu(const std::string& name, double cap, double reported_free, double total) {
  PlannerDevice device = Cpu(name, reported_free);
  device.device.set_cap_bytes(static_cast<uint64_t>(cap));
  device.device.set_total_bytes(static_cast<uint64_t>(total));
  return device;
}

TEST(PlannerTest, CpuWorkersOfOneHostShareItsMemoryAndCapsComeFirst) {
  EXPECT_THAT(Available({Cpu("a", 8 * kMiB), Cpu("b", 8 * kMiB)}), ElementsAre(4 * kMiB, 4 * kMiB));
  EXPECT_THAT(Available({CappedCpu("a", 3 * kMiB, 8 * kMiB, kGiB), Cpu("b", 8 * kMiB)}),
              ElementsAre(3 * kMiB, 5 * kMiB));
  EXPECT_THAT(Available({CappedCpu("a", 5 * kMiB, 5 * kMiB, kGiB), Cpu("b", 8 * kMiB)}),
              ElementsAre(5 * kMiB, 3 * kMiB));
}

// Bytes a second of one row and of many, alone and crowded, of sets that caches hold and do not.
v1::DeviceProfile CrowdedProfile() {
  v1::DeviceProfile profile;
  const auto add = [](auto* rates, int rows, uint64_t bytes, double rate) {
    v1::StreamRate* entry = rates->Add();
    entry->set_format("bf16");
    entry->set_rows(rows);
    entry->set_working_set_bytes(bytes);
    entry->set_bytes_per_second(rate);
  };
  for (const uint64_t bytes : {uint64_t{1} << 20, uint64_t{1} << 29}) {
    const bool cached = bytes == uint64_t{1} << 20;
    add(profile.mutable_weights(), 1, bytes, cached ? 40e9 : 20e9);
    add(profile.mutable_weights(), 16, bytes, cached ? 8e9 : 5e9);
    add(profile.mutable_crowded(), 1, bytes, cached ? 40e9 : 10e9);
  }
  return profile;
}

TEST(CrowdedSpeedTest, WhatWaitsForMemoryIsSlowerAndTheRestIsNot) {
  const v1::DeviceProfile profile = CrowdedProfile();
  const DeviceSpeed alone = SpeedOf({}, profile);
  const DeviceSpeed crowded = CrowdedSpeedOf({}, profile, /*threads_per_core=*/1);
  const auto seconds = [](const DeviceSpeed& speed, double rows, double bytes) {
    return speed.weights_of(DType::kBF16).SecondsPerByte(rows, bytes);
  };
  EXPECT_DOUBLE_EQ(seconds(crowded, 1, 1 << 29), 1 / 10e9);
  EXPECT_DOUBLE_EQ(seconds(crowded, 16, 1 << 29), 1 / 5e9);
  EXPECT_DOUBLE_EQ(seconds(crowded, 1, 1 << 20), seconds(alone, 1, 1 << 20));
  const DeviceSpeed shared = CrowdedSpeedOf({}, profile, /*threads_per_core=*/1.5);
  EXPECT_DOUBLE_EQ(seconds(shared, 16, 1 << 29), 1.5 / 5e9);
  EXPECT_EQ(CrowdedSpeedOf({}, profile, /*threads_per_core=*/0.5), crowded);
}

TEST(CrowdedSpeedTest, OnlyCpuWorkersOfOneHostCrowdEachOther) {
  std::vector<PlannerDevice> devices = {Cpu("a", kGiB), Cpu("b", kGiB), Cpu("c", kGiB),
                                        Gpu("g", kGiB)};
  for (PlannerDevice& device : devices) {
    device.host = "one";
    device.profile = CrowdedProfile();
    device.device.set_threads(2);
    device.device.set_cores(4);
  }
  devices[2].host = "two";
  std::vector<const PlannerDevice*> pointers;
  for (const PlannerDevice& device : devices) pointers.push_back(&device);
  const std::vector<DeviceSpeed> speeds = CrowdedSpeeds(pointers);
  const DeviceSpeed crowded =
      CrowdedSpeedOf(devices[0].device, devices[0].profile, /*threads_per_core=*/1);
  EXPECT_EQ(speeds[0], crowded);
  EXPECT_EQ(speeds[1], crowded);
  EXPECT_EQ(speeds[2], SpeedOf(devices[2].device, devices[2].profile));
  EXPECT_EQ(speeds[3], SpeedOf(devices[3].device, devices[3].profile));
}

TEST(CrowdedSpeedTest, ThreadsBeyondTheCoresShareThemUnlessQuotasKeepThemApart) {
  PlannerDevice device = Cpu("a", kGiB);
  device.host = "one";
  device.profile = CrowdedProfile();
  device.device.set_threads(2);
  device.device.set_cores(2);
  const std::vector<const PlannerDevice*> twice = {&device, &device};
  EXPECT_EQ(CrowdedSpeeds(twice)[0], CrowdedSpeedOf(device.device, device.profile, 2));
  device.device.set_cpu_quota(1.5);
  EXPECT_EQ(CrowdedSpeeds(twice)[0], CrowdedSpeedOf(device.device, device.profile, 1.5));
  device.device.set_cpu_quota(0.5);
  EXPECT_EQ(CrowdedSpeeds(twice)[0], CrowdedSpeedOf(device.device, device.profile, 1));
}

TEST(PlannerTest, CrowdingCostsTokensASecondButNotOneSequenceAlone) {
  std::vector<PlannerDevice> devices = {Cpu("a", 32 * kGiB), Cpu("b", 32 * kGiB)};
  for (PlannerDevice& device : devices) {
    device.host = "here";
    device.profile = CrowdedProfile();
  }
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  options.set_context_tokens(2048);
  options.set_batch_sequences(1);
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan together, MakePlan(Llama3_8B(), devices, options, "m"));
  devices[1].host = "elsewhere";
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan apart, MakePlan(Llama3_8B(), devices, options, "m"));
  EXPECT_LT(together.predicted_tokens_per_second(), 0.6 * apart.predicted_tokens_per_second());
  EXPECT_NEAR(together.predicted_token_seconds() / apart.predicted_token_seconds(), 1, 0.02);
}

TEST(PlannerTest, WorkersThatReportOnlyTheirCapsGetThemInFull) {
  EXPECT_THAT(Available({CappedCpu("a", 6 * kMiB, 6 * kMiB, kGiB),
                         CappedCpu("b", 3 * kMiB, 3 * kMiB, kGiB)}),
              ElementsAre(6 * kMiB, 3 * kMiB));
  // But not more than the host has.
  EXPECT_THAT(Available({CappedCpu("a", 6 * kMiB, 6 * kMiB, 8 * kMiB),
                         CappedCpu("b", 3 * kMiB, 3 * kMiB, 8 * kMiB)}),
              ElementsAre(5 * kMiB, 3 * kMiB));
}

TEST(PlannerTest, HostMemoryWithoutACapIsNotFilledWithKv) {
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan host,
                          MakePlan(Llama3_8B(), std::vector{Cpu("cpu", 256 * kGiB)}, {}, "m"));
  EXPECT_EQ(host.stages(0).num_blocks(), 16 * 2048 / 16);
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan gpu,
                          MakePlan(Llama3_8B(), std::vector{Gpu("gpu", 256 * kGiB)}, {}, "m"));
  EXPECT_EQ(gpu.stages(0).num_blocks(), 16 * 8192 / 16);
}

TEST(PlannerTest, NamesAreOrderedAsPeopleCount) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  const std::vector<PlannerDevice> devices = {Cpu("cpu-10", kGiB), Cpu("cpu-9", kGiB),
                                              Cpu("cpu-1", kGiB)};
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(TinyModel(3), devices, options, "m"));
  EXPECT_THAT(Workers(plan), ElementsAre("cpu-1", "cpu-9", "cpu-10"));
}

TEST(PlannerTest, ManyDevicesArePlannedToo) {
  std::vector<PlannerDevice> devices;
  for (int i = 0; i < 24; ++i) devices.push_back(Gpu(absl::StrCat("g", i), 2e9, 1e11 + i * 1e10));
  LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, MakePlan(Llama3_8B(), devices, {}, "m"));
  EXPECT_GE(plan.stages_size(), 9);
  int layers = 0;
  for (const int count : Counts(plan)) layers += count;
  EXPECT_EQ(layers, 32 * plan.num_replicas());
}

struct BadCase {
  std::string what;
  std::function<void(v1::PlanOptions&)> change;
  std::string message;
};

class BadOptionsTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadOptionsTest, IsRefusedInWords) {
  v1::PlanOptions options;
  GetParam().change(options);
  const std::vector<PlannerDevice> devices = {Gpu("a", 24e9), Gpu("b", 24e9)};
  EXPECT_THAT(MakePlan(Llama3_8B(), devices, options, "m"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

void Manual(v1::PlanOptions& options, const std::string& worker, int first, int count) {
  options.set_policy(v1::PlanOptions::POLICY_MANUAL);
  auto* range = options.add_manual();
  range->set_worker(worker);
  range->set_first_layer(first);
  range->set_num_layers(count);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadOptionsTest,
    ::testing::Values(
        BadCase{"UnknownOrder", [](auto& o) { o.add_order("x"); }, "--order names \"x\""},
        BadCase{"RepeatedOrder", [](auto& o) { o.add_order("a"), o.add_order("a"); }, "a twice"},
        BadCase{"UnknownExclude", [](auto& o) { o.add_exclude("x"); }, "there are a, b"},
        BadCase{"OrderAndExclude", [](auto& o) { o.add_order("a"), o.add_exclude("a"); },
                "both name a"},
        BadCase{"AllExcluded", [](auto& o) { o.add_exclude("a"), o.add_exclude("b"); },
                "leaves no worker"},
        BadCase{"UnknownReserve", [](auto& o) { (*o.mutable_reserve_bytes())["x"] = 1; },
                "--reserve names \"x\", which is no worker here"},
        BadCase{"UnknownCap", [](auto& o) { (*o.mutable_max_memory_bytes())["x"] = 1; },
                "--max-memory names \"x\""},
        BadCase{"SplitCount",
                [](auto& o) { o.set_policy(v1::PlanOptions::POLICY_PROPORTIONAL), o.add_split(1); },
                "1 share for 2 workers (a, b)"},
        BadCase{"SplitPolicy", [](auto& o) { o.add_split(1), o.add_split(1); },
                "--policy proportional only"},
        BadCase{"SplitZero",
                [](auto& o) {
                  o.set_policy(v1::PlanOptions::POLICY_PROPORTIONAL), o.add_split(0),
                      o.add_split(0);
                },
                "gives no device anything"},
        BadCase{"LongContext", [](auto& o) { o.set_context_tokens(9000); }, "model's own 8192"},
        BadCase{"NegativeBatch", [](auto& o) { o.set_batch_sequences(-1); }, "--batch is -1"},
        BadCase{"SmallStep", [](auto& o) { o.set_batch_sequences(8), o.set_step_tokens(4); },
                "less than --batch 8"},
        BadCase{"ManualWithoutLayers",
                [](auto& o) { o.set_policy(v1::PlanOptions::POLICY_MANUAL); }, "needs --layers"},
        BadCase{"ManualUnknown", [](auto& o) { Manual(o, "x", 0, 32); }, "--layers names \"x\""},
        BadCase{"ManualGap", [](auto& o) { Manual(o, "a", 0, 10), Manual(o, "b", 12, 20); },
                "layers 10-11 to no worker"},
        BadCase{"ManualEnd", [](auto& o) { Manual(o, "a", 0, 31); }, "layer 31 to no worker"},
        BadCase{"ManualOverlap", [](auto& o) { Manual(o, "a", 0, 10), Manual(o, "b", 8, 24); },
                "layers 8-9 to two workers"},
        BadCase{"ManualTwice", [](auto& o) { Manual(o, "a", 0, 10), Manual(o, "a", 10, 22); },
                "names a twice"},
        BadCase{"ManualBeyond", [](auto& o) { Manual(o, "a", 0, 33); }, "layers 0-31"},
        BadCase{"ManualAndOrder", [](auto& o) { Manual(o, "a", 0, 32), o.add_order("a"); },
                "drop --order"}),
    [](const auto& info) { return info.param.what; });

TEST(PlannerTest, NoDevicesIsAFailedPrecondition) {
  EXPECT_THAT(MakePlan(Llama3_8B(), {}, {}, "m"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no workers")));
}

TEST(PlanTableTest, ShowsStagesReasonsAndTotals) {
  v1::PlanOptions options;
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  options.add_exclude("c");
  LC_ASSERT_OK_AND_ASSIGN(
      const v1::Plan plan,
      MakePlan(TinyModel(4), std::vector{Gpu("a", kGiB, 1e9), Gpu("b", kGiB, 1e9), Gpu("c", kGiB)},
               options, "tiny"));
  const std::string table = FormatPlanTable(plan);
  EXPECT_THAT(table, AllOf(HasSubstr("Plan for tiny (balanced)"), HasSubstr("embed+0-1"),
                           HasSubstr("2-3+head"), HasSubstr("  a, b: an equal share"),
                           HasSubstr("  c: left out, named in --exclude"),
                           HasSubstr("Context 256 tokens"), HasSubstr("Predicted:")));
}

}  // namespace
}  // namespace layercake
