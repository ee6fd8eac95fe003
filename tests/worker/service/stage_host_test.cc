// What goes when a stage makes way for another, and in what order.

#include <atomic>
#include <optional>

#include "tests/testing/next_stage.h"
#include "tests/worker/service/worker_fixture.h"

namespace layercake {
namespace {

// Threads that have waited for a copy and are still there.
std::atomic<int> num_waiters = 0;
// Copies that went while there were such beside the thread that frees them.
std::atomic<int> num_early = 0;

class Waiter {
 public:
  Waiter() { ++num_waiters; }
  ~Waiter() { --num_waiters; }
};
thread_local std::optional<Waiter> waiter;

class WatchedCopy final : public HostCopy {
 public:
  explicit WatchedCopy(Buffer buffer)
      : HostCopy(buffer.data(), buffer.data(), buffer.bytes()), buffer_(std::move(buffer)) {}
  ~WatchedCopy() override { num_early += num_waiters - (waiter.has_value() ? 1 : 0); }
  void BeginToHost(int64_t) override {}
  void BeginToDevice(int64_t) override {}
  absl::Status Wait() override {
    if (!waiter.has_value()) waiter.emplace();
    return absl::OkStatus();
  }
  void Use(absl::FunctionRef<void()> issue) override { issue(); }

 private:
  const Buffer buffer_;
};

// A CPU whose copies are watched.
class WatchedDevice final : public Device {
 public:
  WatchedDevice()
      : Device(DeviceKind::kCpu, "a watched CPU", BestCpuIsa(), /*num_threads=*/1),
        cpu_(*Device::CreateCpu(1)) {}

  DeviceMemory Memory() const override { return cpu_->Memory(); }
  absl::StatusOr<Buffer> Allocate(int64_t bytes, absl::string_view purpose) override {
    return cpu_->Allocate(bytes, purpose);
  }
  absl::StatusOr<Buffer> AllocateHost(int64_t bytes, absl::string_view purpose) override {
    return cpu_->AllocateHost(bytes, purpose);
  }
  absl::StatusOr<std::unique_ptr<HostCopy>> CreateHostCopy(int64_t bytes,
                                                           absl::string_view purpose) override {
    LC_ASSIGN_OR_RETURN(Buffer buffer, Allocate(bytes, purpose));
    return std::make_unique<WatchedCopy>(std::move(buffer));
  }
  absl::Status CopyFromHost(const TensorView& to, const void* from, int64_t bytes) override {
    return cpu_->CopyFromHost(to, from, bytes);
  }
  absl::Status CopyToHost(void* to, const TensorView& from, int64_t bytes) override {
    return cpu_->CopyToHost(to, from, bytes);
  }
  absl::Status Finish() override { return cpu_->Finish(); }
  absl::Status status() const override { return cpu_->status(); }

 private:
  const std::unique_ptr<Device> cpu_;
};

TEST(StageHostTest, AStageOutlivesTheThreadThatSendsFromItsSlots) {
  constexpr int kTokens = 512;
  constexpr int kBlocks = 32;
  NextStage next;
  next.Take(/*count=*/0);
  WatchedDevice device;
  StageHost host({.worker_name = "w"}, device, *Clock::Real());
  const auto load = [&](uint64_t epoch, int end) {
    v1::LoadStageRequest request = LoadRequest(epoch, 0, end, next.address());
    request.set_max_step_tokens(kTokens);
    request.set_max_context_tokens(kTokens);
    request.mutable_stage()->set_num_blocks(kBlocks);
    return host.Load(request, [](int64_t, int64_t) { return true; });
  };
  ASSERT_OK(load(1, 2));
  std::atomic<bool> ended = false;
  LC_ASSERT_OK_AND_ASSIGN(auto run, host.Execute(1, {[](v1::StepResult) {},
                                                     [&](const absl::Status& status) {
                                                       EXPECT_OK(status);
                                                       ended = true;
                                                       ended.notify_all();
                                                     }}));
  // So large that a thread sends the second while the first is on its way, or the first already.
  for (uint64_t step_id = 1; step_id <= 2; ++step_id) {
    v1::Step step = GreedyStep(1, step_id, 0, std::vector<int32_t>(kTokens, 3));
    v1::Slice& slice = *step.mutable_slices(0);
    slice.set_output(v1::Slice::OUTPUT_NONE);
    slice.clear_block_ids();
    for (int block = 0; block < kBlocks; ++block) slice.add_block_ids(block);
    run->Push(std::make_unique<v1::Step>(step));
  }
  run->EndOfSteps();
  run = nullptr;
  ended.wait(false);
  EXPECT_GT(num_waiters, 0) << "no thread sent";
  ASSERT_OK(load(2, 1));
  EXPECT_EQ(num_early, 0);
}

}  // namespace
}  // namespace layercake
