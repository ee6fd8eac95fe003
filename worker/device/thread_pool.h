#pragma once

// A fixed set of threads that run one loop together.

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/mutex.h"

namespace layercake {

// Thread-safe; loops asked for at the same time run one after another. No allocation per loop.
class ThreadPool {
 public:
  // `num_threads` >= 1, the calling thread among them: a pool of one starts no thread.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls body(begin, end) over disjoint ranges of at most `grain` indices that cover [0, count),
  // from several threads, in no set order; returns when all are done.
  // REQUIRES: `body` is not itself in a loop of this pool, and its result does not depend on the
  // split.
  void ParallelFor(int64_t count, int64_t grain,
                   absl::FunctionRef<void(int64_t begin, int64_t end)> body);

 private:
  using Body = absl::FunctionRef<void(int64_t, int64_t)>;

  void RunThread();
  void RunShare();

  Mutex mutex_;  // held by whoever runs a loop

  // The loop that runs now; written before `gate_` opens, read only by threads inside it.
  const Body* body_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_{0};

  // Generation of the loop (upper 32 bits), whether helpers may still enter (bit 31), and how many
  // are inside (lower bits).
  std::atomic<uint64_t> gate_{0};
  // The generation again, as the word that helpers sleep on.
  std::atomic<uint32_t> generation_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace layercake
