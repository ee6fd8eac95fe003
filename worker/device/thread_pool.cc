#include "worker/device/thread_pool.h"

#include <algorithm>

#include "common/base/logging.h"
#include "worker/device/relax.h"

namespace layercake {
namespace {

constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr uint64_t kInsideMask = kOpen - 1;
// About 50 us on current processors: longer than the pauses between the loops of a step, short
// enough that an idle worker costs nothing.
constexpr int kSpinsBeforeSleep = 1500;
// A helper that entered and then lost its core: let it have this one.
constexpr int kSpinsBeforeYield = 20000;

uint32_t Generation(uint64_t gate) { return static_cast<uint32_t>(gate >> 32); }

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  CHECK_GE(num_threads, 1);
  threads_.reserve(num_threads - 1);
  for (int i = 1; i < num_threads; ++i) threads_.emplace_back([this] { RunThread(); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::ParallelFor(int64_t count, int64_t grain, Body body) {
  DCHECK_GE(grain, 1);
  if (count <= 0) return;
  if (threads_.empty() || count <= grain) {
    for (int64_t i = 0; i < count; i += grain) body(i, std::min(i + grain, count));
    return;
  }
  MutexLock lock(mutex_);
  body_ = &body;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  gate_.store(uint64_t{generation} << 32 | kOpen, std::memory_order_release);
  generation_.store(generation);
  generation_.notify_all();
  RunShare();
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spins = 0; (gate_.load(std::memory_order_acquire) & kInsideMask) != 0;) {
    if (++spins < kSpinsBeforeYield) {
      Relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::RunShare() {
  while (true) {
    const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    (*body_)(begin, std::min(begin + grain_, count_));
  }
}

void ThreadPool::RunThread() {
  uint32_t served = 0;
  while (!stopping_) {
    uint32_t generation = generation_.load(std::memory_order_acquire);
    for (int spins = 0; generation == served && spins < kSpinsBeforeSleep; ++spins) {
      Relax();
      generation = generation_.load(std::memory_order_acquire);
    }
    if (generation == served) {
      generation_.wait(served);
      continue;
    }
    served = generation;
    uint64_t gate = gate_.load(std::memory_order_acquire);
    while ((gate & kOpen) != 0 && Generation(gate) == generation) {
      if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) continue;
      RunShare();
      gate_.fetch_sub(1, std::memory_order_acq_rel);
      break;
    }
  }
}

}  // namespace layercake
