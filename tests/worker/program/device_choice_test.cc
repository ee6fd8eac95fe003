#include "worker/device_choice.h"

#include <set>

#include "common/options/options.h"
#include "tests/testing/fake_cuda_runtime.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DeviceChoiceTest, CpuIsOpenedAsAsked) {
  LC_ASSERT_OK_AND_ASSIGN(const ChosenDevice chosen, OpenDevice("cpu", 1, nullptr));
  EXPECT_EQ(chosen.device->kind(), DeviceKind::kCpu);
  EXPECT_EQ(chosen.short_name, "cpu-0");
  EXPECT_EQ(chosen.description.threads(), 1);
}

TEST(DeviceChoiceTest, AutoIsTheCpuWhereNoCardCanBeUsed) {
  FakeCudaRuntime no_driver;
  no_driver.driver_version = 0;
  no_driver.count_result = {35, "insufficient"};
  FakeCudaRuntime busy({FakeCard(0, "GPU-busy", 90, 80)});
  busy.use_results[0] = {46, "busy"};
  FakeCudaRuntime no_cards;
  for (CudaRuntime* runtime :
       {static_cast<CudaRuntime*>(nullptr), static_cast<CudaRuntime*>(&no_driver),
        static_cast<CudaRuntime*>(&busy), static_cast<CudaRuntime*>(&no_cards)}) {
    LC_ASSERT_OK_AND_ASSIGN(const ChosenDevice chosen, OpenDevice("auto", 1, runtime));
    EXPECT_EQ(chosen.device->kind(), DeviceKind::kCpu);
  }
}

TEST(DeviceChoiceTest, ACardThatAWorkerHasIsRefused) {
  FakeCudaRuntime runtime({FakeCard(0, "GPU-device-choice-test", 86, 24)});
  LC_ASSERT_OK_AND_ASSIGN(const CardLock other_worker, CardLock::Take("GPU-device-choice-test"));
  const auto chosen = OpenDevice("cuda:0", 1, &runtime);
  EXPECT_THAT(chosen, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("has a worker")));
  EXPECT_EQ(DeviceExitCode(chosen.status()), kExitDeviceTaken);
  // One that shares it goes on to open it.
  EXPECT_THAT(OpenDevice("cuda:0", 1, &runtime, /*share_card=*/true),
              ::testing::Not(StatusIs(absl::StatusCode::kAlreadyExists)));
}

TEST(DeviceChoiceTest, OnlyTheCardThatIsChosenIsUsed) {
  const std::vector<Card> cards = {FakeCard(0, "GPU-choice-a", 52, 12),
                                   FakeCard(1, "GPU-choice-b", 61, 24),
                                   FakeCard(2, "GPU-choice-c", 61, 6)};
  for (const char* selector : {"cuda:1", "GPU-choice-b", "auto"}) {
    FakeCudaRuntime runtime(cards);
    for (int i = 0; i < 3; ++i) runtime.use_results[i] = {46, "busy"};
    (void)OpenDevice(selector, 1, &runtime);
    if (std::string(selector) != "auto") {
      EXPECT_EQ(runtime.uses, (std::map<int, int>{{1, 1}})) << selector;
    }
    EXPECT_TRUE(runtime.in_use.empty()) << "what cannot be used is left";
  }
}

TEST(DeviceChoiceTest, AutoTriesWhatHasMostFreeMemoryFirstAndUsesNoOtherToLearnIt) {
  for (const bool tells : {true, false}) {
    FakeCudaRuntime runtime({FakeCard(0, "GPU-auto-a", 52, 12), FakeCard(1, "GPU-auto-b", 61, 24)});
    runtime.tells_free_bytes = tells;
    // Ends the choice at the first, which has no device behind it.
    LC_ASSERT_OK_AND_ASSIGN(const CardLock other_worker, CardLock::Take("GPU-auto-a"));
    (void)OpenDevice("auto", 1, &runtime);
    EXPECT_EQ(runtime.uses,
              tells ? (std::map<int, int>{{1, 1}}) : (std::map<int, int>{{0, 1}, {1, 2}}));
  }
}

TEST(DeviceChoiceTest, EveryKindOfBadLuckHasAnExitCodeOfItsOwn) {
  std::set<int> codes;
  FakeCudaRuntime no_driver;
  no_driver.driver_version = 0;
  no_driver.count_result = {35, "insufficient"};
  codes.insert(DeviceExitCode(OpenDevice("cuda:0", 1, &no_driver).status()));
  FakeCudaRuntime old_driver;
  old_driver.driver_version = 11040;
  old_driver.count_result = {35, "insufficient"};
  codes.insert(DeviceExitCode(OpenDevice("cuda:0", 1, &old_driver).status()));
  for (const int error : {46, 2, 719}) {
    FakeCudaRuntime trouble({FakeCard(0, "GPU-trouble", 75, 8)});
    trouble.use_results[0] = {error, "trouble"};
    codes.insert(DeviceExitCode(OpenDevice("cuda:0", 1, &trouble).status()));
    codes.insert(DeviceExitCode(OpenDevice("cuda:1", 1, &trouble).status()));
  }
  codes.insert(DeviceExitCode(OpenDevice("cuda:0", 1, nullptr).status()));
  codes.insert(DeviceExitCode(OpenDevice("tpu", 1, nullptr).status()));
  EXPECT_EQ(codes, (std::set<int>{kExitUsage, kExitUnsupported, kExitNoDriver, kExitOldDriver,
                                  kExitNoDevice, kExitDeviceBusy, kExitNoMemory, kExitDeviceLost}));
}

TEST(DeviceChoiceTest, ListShowsCardsWithTierOrProblemThenTheCpu) {
  FakeCudaRuntime runtime({FakeCard(0, "GPU-a", 52, 12), FakeCard(1, "GPU-b", 61, 6)});
  runtime.use_results[1] = {46, "busy"};
  const v1::DeviceList list = ListDevices(&runtime);
  ASSERT_EQ(list.devices_size(), 3);
  EXPECT_EQ(list.devices(0).selector(), "cuda:0");
  EXPECT_EQ(list.devices(0).problem(), "");
  EXPECT_THAT(list.devices(0).tier(), HasSubstr("f32"));
  EXPECT_THAT(list.devices(1).problem(), HasSubstr("in use by another process"));
  EXPECT_EQ(list.devices(2).selector(), "cpu");
  EXPECT_EQ(list.note(), "");
  EXPECT_TRUE(runtime.in_use.empty());
  EXPECT_THAT(FormatDeviceTable(list), AllOf(HasSubstr("5.2"), HasSubstr("12.0 GiB  GPU-a"),
                                             HasSubstr("cuda:1 (Test Card, GPU-b) is in use")));
}

TEST(DeviceChoiceTest, ACardsTierIsThatOfTheCodeForIt) {
  Card card = FakeCard(0, "GPU-older-code", 61, 6);
  card.code_capability = 52;
  FakeCudaRuntime runtime({card, FakeCard(1, "GPU-no-code", 52, 6)});
  runtime.use_results[1] = {209, "no kernel image"};
  const v1::DeviceList list = ListDevices(&runtime);
  EXPECT_THAT(list.devices(0).tier(), ::testing::StartsWith("5.2: "));
  EXPECT_THAT(list.devices(1).problem(), HasSubstr("no code"));
  EXPECT_EQ(DeviceExitCode(OpenDevice("cuda:1", 1, &runtime).status()), kExitUnsupported);
}

TEST(DeviceChoiceTest, ListSaysWhyThereAreNoCards) {
  EXPECT_THAT(ListDevices(nullptr).note(), HasSubstr("built without CUDA"));
  FakeCudaRuntime no_cards;
  EXPECT_EQ(ListDevices(&no_cards).note(), "no CUDA device is visible");
}

}  // namespace
}  // namespace layercake
