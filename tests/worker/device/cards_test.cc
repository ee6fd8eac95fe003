#include "worker/device/cards.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/fake_cuda_runtime.h"
#include "tests/testing/status_matchers.h"
#include "worker/device/card_lock.h"
#include "worker/device/nvml.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<Card> TwoCards() {
  return {FakeCard(0, "GPU-3f-a", 52, 12), FakeCard(1, "GPU-3f-b", 61, 6)};
}

TEST(CardsTest, ListsEveryCardAndUsesNone) {
  FakeCudaRuntime runtime(TwoCards());
  const auto cards = ListCards(&runtime);
  ASSERT_OK(cards);
  ASSERT_EQ(cards->size(), 2u);
  EXPECT_EQ((*cards)[1].selector(), "cuda:1");
  EXPECT_EQ((*cards)[1].uuid, "GPU-3f-b");
  EXPECT_EQ((*cards)[1].compute_capability, 61);
  EXPECT_EQ((*cards)[1].total_bytes, int64_t{6} << 30);
  EXPECT_OK((*cards)[1].usable);
  EXPECT_TRUE(runtime.uses.empty());
}

TEST(CardsTest, ACardThatIsUsedTellsWhatIsFreeAndItsCode) {
  FakeCudaRuntime runtime(TwoCards());
  auto cards = ListCards(&runtime);
  ASSERT_OK(cards);
  ASSERT_OK(UseCard(runtime, &(*cards)[1]));
  EXPECT_EQ((*cards)[1].free_bytes, int64_t{6} << 30);
  EXPECT_EQ((*cards)[1].code_capability, 61);
  EXPECT_EQ(runtime.in_use, std::set<int>{1});
}

TEST(CardsTest, ABuildWithoutCudaSaysSo) {
  EXPECT_THAT(ListCards(nullptr),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("built without CUDA")));
}

TEST(CardsTest, AMissingDriverIsNamed) {
  FakeCudaRuntime runtime;
  runtime.driver_version = 0;
  runtime.count_result = {35, "CUDA driver version is insufficient"};
  EXPECT_THAT(ListCards(&runtime),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("no NVIDIA driver"), HasSubstr("13.0"))));
}

TEST(CardsTest, ADriverOlderThanTheToolkitIsNamedWithBothVersions) {
  FakeCudaRuntime runtime(TwoCards());
  runtime.driver_version = 12020;
  runtime.count_result = {35, "CUDA driver version is insufficient"};
  EXPECT_THAT(ListCards(&runtime),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("up to 12.2"), HasSubstr("built with 13.0"),
                             HasSubstr("build LayerCake with CUDA 12"))));
}

TEST(CardsTest, ADriverThatFailsIsQuoted) {
  FakeCudaRuntime runtime(TwoCards());
  runtime.count_result = {802, "system not yet initialized"};
  EXPECT_THAT(ListCards(&runtime),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("system not yet initialized")));
}

TEST(CardsTest, NoVisibleCardIsNoError) {
  FakeCudaRuntime runtime;
  runtime.count_result = {100, "no CUDA-capable device is detected"};
  const auto cards = ListCards(&runtime);
  ASSERT_OK(cards);
  EXPECT_TRUE(cards->empty());
}

TEST(CardsTest, ACardInTroubleSaysWhichAndIsLeft) {
  const struct {
    CudaResult result;
    absl::StatusCode code;
    const char* words;
  } kCases[] = {
      {{46, "busy"}, absl::StatusCode::kUnavailable, "in use by another process"},
      {{2, "out of memory"}, absl::StatusCode::kResourceExhausted, "of 12.0 GiB"},
      {{209, "no kernel image"},
       absl::StatusCode::kUnimplemented,
       "compute capability 5.2, for which this program, built with CUDA 13.0, has no code; build "
       "LayerCake with CUDA 12"},
      {{222, "unsupported toolchain"}, absl::StatusCode::kFailedPrecondition, "update the driver"},
      {{214, "uncorrectable ECC error"}, absl::StatusCode::kInternal, "uncorrectable ECC error"},
  };
  for (const auto& trouble : kCases) {
    FakeCudaRuntime runtime(TwoCards());
    runtime.use_results[0] = trouble.result;
    auto cards = ListCards(&runtime);
    ASSERT_OK(cards);
    EXPECT_THAT(UseCard(runtime, &(*cards)[0]),
                StatusIs(trouble.code, AllOf(HasSubstr("cuda:0"), HasSubstr(trouble.words))));
    EXPECT_TRUE(runtime.in_use.empty());
    EXPECT_THAT(FindCard(*cards, "cuda:0"), StatusIs(trouble.code, HasSubstr(trouble.words)));
    EXPECT_OK(FindCard(*cards, "cuda:1"));
  }
}

TEST(CardsTest, ANewCardWithoutCodeIsNamedWithWhatToBuildFor) {
  FakeCudaRuntime runtime({FakeCard(0, "GPU-new", 121, 24)});
  runtime.use_results[0] = {209, "no kernel image"};
  auto cards = ListCards(&runtime);
  ASSERT_OK(cards);
  EXPECT_THAT(UseCard(runtime, &(*cards)[0]),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("12.1"), HasSubstr("-DCMAKE_CUDA_ARCHITECTURES=121"))));
}

TEST(NvmlTest, TellsWhatIsFreeWhereItKnowsTheCard) {
  const Nvml nvml(LAYERCAKE_FAKE_NVML);
  EXPECT_EQ(nvml.FreeBytes("GPU-fake"), 5 << 20);
  EXPECT_EQ(nvml.FreeBytes("GPU-other"), std::nullopt);
  EXPECT_EQ(Nvml("libno-such-library.so").FreeBytes("GPU-fake"), std::nullopt);
}

TEST(CardsTest, FindsByWordsOfTheName) {
  std::vector<Card> cards = TwoCards();
  cards[0].name = "Tesla M40 24GB";
  cards[1].name = "NVIDIA P106-100";
  for (const char* const m40 : {"tesla-m40", "m40", "Tesla M40", "tesla-m40-24gb"}) {
    EXPECT_EQ(FindCard(cards, m40)->index, 0) << m40;
  }
  EXPECT_EQ(FindCard(cards, "p106")->index, 1);
  for (const char* const none : {"m4", "p106-1", "tesla-p106", "", "-"}) {
    EXPECT_THAT(FindCard(cards, none),
                StatusIs(absl::StatusCode::kOutOfRange,
                         AllOf(HasSubstr("is not here"), HasSubstr("(NVIDIA P106-100, GPU-3f-b)"))))
        << none;
  }
  cards[1].name = "Tesla M40";
  EXPECT_THAT(FindCard(cards, "m40"),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("names several")));
}

TEST(CardsTest, FindsByIndexAndByUuid) {
  const std::vector<Card> cards = TwoCards();
  EXPECT_EQ(FindCard(cards, "cuda:1")->index, 1);
  EXPECT_EQ(FindCard(cards, "GPU-3f-a")->index, 0);
  EXPECT_THAT(FindCard(cards, "GPU-3f"),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("names several")));
  EXPECT_THAT(FindCard(cards, "cuda:2"), StatusIs(absl::StatusCode::kOutOfRange,
                                                  AllOf(HasSubstr("cuda:0 (Test Card, GPU-3f-a)"),
                                                        HasSubstr("CUDA_VISIBLE_DEVICES"))));
  EXPECT_THAT(FindCard({}, "cuda:0"), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("none")));
}

TEST(CardLockTest, OneWorkerPerCard) {
  auto lock = CardLock::Take("GPU-card-lock-test");
  ASSERT_OK(lock);
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(CardLock::Take("GPU-card-lock-test"),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         AllOf(HasSubstr("already has a worker"),
                               HasSubstr(absl::StrCat("process ", getpid())))));
  }
  EXPECT_OK(CardLock::Take("GPU-card-lock-test-2"));
  lock = CardLock();
  EXPECT_OK(CardLock::Take("GPU-card-lock-test"));
}

}  // namespace
}  // namespace layercake
