// Stage.Load and Stage.Unload over loopback.

#include <filesystem>
#include <functional>
#include <thread>

#include "common/base/bytes.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/worker/service/worker_fixture.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(LoadTest, ReportsProgressAndWhatWasTaken) {
  TestWorker worker;
  std::vector<v1::LoadStageProgress> progress;
  ASSERT_OK(worker.Load(LoadRequest(1), &progress));
  ASSERT_FALSE(progress.empty());
  const v1::LoadStageProgress& last = progress.back();
  EXPECT_TRUE(last.done());
  EXPECT_EQ(last.loaded_bytes(), last.total_bytes());
  LC_ASSERT_OK_AND_ASSIGN(const auto checkpoint, Checkpoint::Open(GoldenModel()));
  EXPECT_EQ(static_cast<int64_t>(last.weight_bytes()),
            StageWeightBytes(checkpoint->config(), {0, 3, true, true}));
  EXPECT_EQ(worker.host().Stats().stage_bytes,
            static_cast<int64_t>(last.weight_bytes() + last.kv_bytes() + last.workspace_bytes()));
  ASSERT_OK(worker.Unload());
  EXPECT_EQ(worker.host().Stats().stage_bytes, 0);
  EXPECT_OK(worker.Unload()) << "idempotent";
}

TEST(LoadTest, TheSameEpochAnswersFromWhatIsLoaded) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(5)));
  std::vector<v1::LoadStageProgress> progress;
  EXPECT_OK(worker.Load(LoadRequest(5), &progress));
  EXPECT_EQ(progress.size(), 1u);
  EXPECT_TRUE(progress.back().done());
  EXPECT_THAT(worker.Load(LoadRequest(5, 0, 2, "127.0.0.1:1")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another stage")));
}

TEST(LoadTest, AnOlderEpochIsRefusedEvenAfterUnload) {
  TestWorker worker;
  ASSERT_OK(worker.Load(LoadRequest(5)));
  EXPECT_THAT(worker.Load(LoadRequest(4)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has seen epoch 5")));
  EXPECT_EQ(worker.host().Stats().last_epoch, 5u);
  ASSERT_OK(worker.Unload());
  EXPECT_THAT(worker.Load(LoadRequest(4)), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(LoadTest, ANewEpochOfTheSameStageKeepsItsWeights) {
  TestWorker worker, next;
  ASSERT_OK(worker.Load(LoadRequest(1)));
  std::vector<v1::LoadStageProgress> progress;
  ASSERT_OK(worker.Load(LoadRequest(2), &progress));
  EXPECT_EQ(progress.size(), 1u) << "nothing was read";
  ASSERT_OK(worker.Load(LoadRequest(3, 0, 2, next.address()), &progress));
  EXPECT_GT(progress.size(), 2u);
}

TEST(LoadTest, ANextStageThatCannotBeReachedIsSaidBeforeAnythingIsServed) {
  TestWorker worker;
  EXPECT_THAT(
      worker.Load(LoadRequest(1, 0, 2, "127.0.0.1:1")),
      StatusIs(absl::StatusCode::kUnavailable,
               AllOf(HasSubstr("127.0.0.1:1 cannot be reached"), HasSubstr("--advertise"))));
}

TEST(LoadTest, AnotherCheckpointIsRefusedWithBothFingerprints) {
  TestWorker worker;
  v1::LoadStageRequest request = LoadRequest(1);
  request.set_fingerprint(0x1234);
  EXPECT_THAT(worker.Load(request),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("another checkpoint than the coordinator's"),
                             HasSubstr("0000000000001234"), HasSubstr("copy the model again"))));
}

TEST(LoadTest, AMissingDirectoryIsLookedUpUnderTheModelRoot) {
  v1::LoadStageRequest request = LoadRequest(1);
  request.set_model_dir("/elsewhere/llama-gqa/");
  TestWorker without;
  EXPECT_THAT(without.Load(request),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("/elsewhere/llama-gqa"), HasSubstr("--model-root"))));
  TestWorker with({.model_root = std::filesystem::path(GoldenModel()).parent_path()});
  EXPECT_OK(with.Load(request));
  request.set_epoch(2);
  request.set_model_dir("/elsewhere/unknown");
  EXPECT_THAT(with.Load(request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/unknown")));
}

TEST(LoadTest, ABrokenCheckpointIsDataLoss) {
  TemporaryDirectory broken;
  std::filesystem::copy(GoldenModel(), broken.path(), std::filesystem::copy_options::recursive);
  broken.Write("model.safetensors", "nonsense");
  v1::LoadStageRequest request = LoadRequest(1);
  request.set_model_dir(broken.path());
  TestWorker worker;
  EXPECT_THAT(worker.Load(request),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("model.safetensors")));
}

TEST(LoadTest, TooLittleMemoryIsSaidWithFiguresBeforeAnythingIsTaken) {
  TestWorker worker({.worker_name = "p106:0", .memory_cap_bytes = 100'000});
  v1::LoadStageRequest request = LoadRequest(1);
  EXPECT_THAT(worker.Load(request),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("worker p106:0 needs"),
                             HasSubstr("for layers 0-2 with the embedding with the head"),
                             HasSubstr("has 97.7 KiB free within its cap of 97.7 KiB"),
                             HasSubstr("--context"))));
  EXPECT_EQ(worker.host().Stats().free_bytes, 100'000);
}

TEST(LoadTest, TheCapCountsTheStageHeld) {
  TestWorker worker({.memory_cap_bytes = 64 << 20});
  ASSERT_OK(worker.Load(LoadRequest(1)));
  const StageStats stats = worker.host().Stats();
  EXPECT_GT(stats.stage_bytes, 0);
  EXPECT_EQ(stats.free_bytes + stats.stage_bytes, 64 << 20);
}

TEST(LoadTest, FiguresThatMakeNoSenseAreNamed) {
  TestWorker worker;
  const struct {
    std::function<void(v1::LoadStageRequest&)> change;
    const char* words;
  } kCases[] = {
      {[](auto& r) { r.mutable_stage()->set_num_blocks(0); }, "num_blocks must be at least 1"},
      {[](auto& r) { r.set_max_step_tokens(-1); }, "max_step_tokens must be at least 1"},
      {[](auto& r) { r.mutable_stage()->set_num_layers(4); }, "layers 0-3"},
      {[](auto& r) { r.mutable_stage()->set_first_layer(-1); }, "do not make a stage"},
      {[](auto& r) { r.mutable_stage()->set_num_layers(2); }, "do not make a stage"},
      {[](auto& r) { r.mutable_stage()->set_first_layer(1); }, "do not make a stage"},
      {[](auto& r) { r.set_max_context_tokens(100'000); }, "longer than the model's 512"},
      {[](auto& r) { r.mutable_stage()->set_has_head(false); }, "next_address is empty"},
  };
  uint64_t epoch = 0;
  for (const auto& nonsense : kCases) {
    v1::LoadStageRequest request = LoadRequest(++epoch);
    nonsense.change(request);
    EXPECT_THAT(worker.Load(request),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(nonsense.words)));
  }
}

TEST(LoadTest, AWorkerThatStopsLoadsNoMore) {
  TestWorker worker;
  worker.host().Stop();
  EXPECT_THAT(worker.Load(LoadRequest(1)), StatusIs(absl::StatusCode::kCancelled));
}

// The host's own: over gRPC a load of a tiny model is over before it could be abandoned.
TEST(LoadTest, UnloadAbandonsALoadThatIsGoingOn) {
  TestWorker worker;
  std::unique_ptr<std::thread> unload;
  int reports = 0;
  const auto status =
      worker.host()
          .Load(LoadRequest(1),
                [&](int64_t, int64_t) {
                  if (unload == nullptr) {
                    unload = std::make_unique<std::thread>([&] { worker.host().Unload(); });
                  }
                  ++reports;
                  return reports < 1000000;
                })
          .status();
  unload->join();
  EXPECT_EQ(worker.host().Stats().stage_bytes, 0);
}

}  // namespace
}  // namespace layercake
