#include "tests/testing/simt/block.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "tests/testing/simt/fiber.h"

constinit thread_local uint3 threadIdx = {};
constinit thread_local uint3 blockIdx = {};
constinit thread_local dim3 blockDim;
constinit thread_local dim3 gridDim;

namespace layercake::simt {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;

struct Site {
  const char* operation = nullptr;  // null: waits for nothing
  const char* file = nullptr;
  int line = 0;

  bool operator==(const Site& other) const {
    return line == other.line && absl::string_view(operation) == other.operation &&
           absl::string_view(file) == other.file;
  }
};

std::string Text(const Site& site) {
  absl::string_view file = site.file;
  return absl::StrCat(site.operation, " at ", file.substr(file.rfind('/') + 1), ":", site.line);
}

std::string Text(const uint3& v) { return absl::StrCat("(", v.x, ",", v.y, ",", v.z, ")"); }

// xorshift64*.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 | 1) { Below(1); }
  size_t Below(size_t limit) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545F4914F6CDD1D >> 33) % limit;
  }

 private:
  uint64_t state_;
};

struct Copy {
  char* to;
  const char* from;  // null: zeros
  int bytes;
  int group;
};

struct Thread {
  std::unique_ptr<Fiber> fiber = std::make_unique<Fiber>();
  uint3 place;  // threadIdx
  int index = 0;
  bool predicate = false;
  Site waits;
  std::vector<Copy> copies;  // under way
  int copy_groups = 0;       // ended
};

// Lanes of one warp that have come to a collective.
struct Gathering {
  Site site;
  uint32_t mask = 0;
  uint32_t arrived = 0;
  CombineLanes combine = nullptr;
  void* payloads[kWarp] = {};
};

// One host thread's blocks, one at a time.
class Block {
 public:
  std::string Run(const GridShape& shape, uint3 index, Random& random,
                  absl::FunctionRef<void()> body);

  void* shared() { return shared_.get(); }
  int SyncThreads(bool predicate, const Site& site);
  void Collect(uint32_t mask, void* payload, CombineLanes combine, const Site& site);
  int lane() const { return running_->index % kWarp; }
  void BeginCopy(void* shared, const void* global, int bytes, bool holds);
  void EndCopyGroup() { ++running_->copy_groups; }
  void FinishCopies(int groups_left);

 private:
  void StartThreads(const GridShape& shape, uint3 index);
  void Step(size_t pick);
  void Wait(const Site& site);
  void Fail(const Thread& thread, const std::string& what);
  void ReleaseBarrier();
  bool CheckLanes(const std::vector<Gathering>& gatherings, uint32_t mask, const Site& site);
  void ExplainStandstill();

  std::vector<Thread> threads_;
  std::vector<std::vector<Gathering>> warps_;
  std::vector<int> ready_;
  std::unique_ptr<char[]> shared_;
  size_t shared_bytes_ = 0;
  const absl::FunctionRef<void()>* body_ = nullptr;
  std::string kernel_;
  std::string failure_;
  Thread* running_ = nullptr;
  int num_threads_ = 0;
  int num_ended_ = 0;
  int num_at_barrier_ = 0;
  int barrier_count_ = 0;
  int last_barrier_count_ = 0;
};

Block& ThisBlock() {
  thread_local Block block;
  return block;
}

void Block::StartThreads(const GridShape& shape, uint3 index) {
  kernel_ = shape.kernel;
  num_threads_ = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
  CHECK(num_threads_ >= 1 && num_threads_ <= kMaxThreads) << kernel_;
  if (static_cast<int>(threads_.size()) < num_threads_) threads_.resize(num_threads_);
  warps_.assign((num_threads_ + kWarp - 1) / kWarp, {});
  ready_.resize(num_threads_);
  std::iota(ready_.begin(), ready_.end(), 0);
  num_ended_ = num_at_barrier_ = barrier_count_ = 0;
  failure_.clear();
  for (int i = 0; i < num_threads_; ++i) {
    Thread& thread = threads_[i];
    const unsigned int at = static_cast<unsigned int>(i);
    thread.index = i;
    thread.waits = {};
    thread.copies.clear();
    thread.copy_groups = 0;
    thread.place = {at % shape.block.x, at / shape.block.x % shape.block.y,
                    at / (shape.block.x * shape.block.y)};
  }
  blockIdx = index;
  blockDim = shape.block;
  gridDim = shape.grid;
  shared_ = std::make_unique<char[]>(shape.shared_bytes);
  shared_bytes_ = shape.shared_bytes;
  std::fill_n(shared_.get(), shape.shared_bytes, '\xff');
}

std::string Block::Run(const GridShape& shape, uint3 index, Random& random,
                       absl::FunctionRef<void()> body) {
  StartThreads(shape, index);
  body_ = &body;
  std::vector<bool> started(num_threads_, false);
  while (failure_.empty() && !ready_.empty()) {
    const size_t pick = random.Below(ready_.size());
    Thread& thread = threads_[ready_[pick]];
    ready_[pick] = ready_.back();
    ready_.pop_back();
    running_ = &thread;
    threadIdx = thread.place;
    thread.waits = {};
    if (started[thread.index]) {
      thread.fiber->Resume();
    } else {
      started[thread.index] = true;
      thread.fiber->Start([](void* f) { (**static_cast<const absl::FunctionRef<void()>**>(f))(); },
                          &body_);
    }
    if (thread.fiber->ended()) ++num_ended_;
    if (ready_.empty() && num_ended_ < num_threads_ && failure_.empty()) ExplainStandstill();
  }
  shared_.reset();
  return std::exchange(failure_, "");
}

void Block::Wait(const Site& site) {
  Thread& self = *running_;
  self.waits = site;
  self.fiber->Yield();
}

void Block::Fail(const Thread& thread, const std::string& what) {
  if (!failure_.empty()) return;
  failure_ = absl::StrCat("kernel ", kernel_, ", block ", Text(blockIdx), ", thread ",
                          Text(thread.place), ": ", what);
}

int Block::SyncThreads(bool predicate, const Site& site) {
  Thread& self = *running_;
  self.predicate = predicate;
  barrier_count_ += predicate;
  self.waits = site;
  if (++num_at_barrier_ == num_threads_) ReleaseBarrier();
  Wait(site);
  return last_barrier_count_;
}

void Block::ReleaseBarrier() {
  const Site& first = threads_[0].waits;
  for (int i = 0; i < num_threads_; ++i) {
    if (threads_[i].waits == first) continue;
    Fail(threads_[i], absl::StrCat("waits in ", Text(threads_[i].waits), ", but thread 0 in ",
                                   Text(first), ": a divergent barrier"));
    return;
  }
  last_barrier_count_ = std::exchange(barrier_count_, 0);
  num_at_barrier_ = 0;
  for (int i = 0; i < num_threads_; ++i) ready_.push_back(i);
}

bool Block::CheckLanes(const std::vector<Gathering>& gatherings, uint32_t mask, const Site& site) {
  const int warp_lanes = std::min(kWarp, num_threads_ - running_->index / kWarp * kWarp);
  const auto asked = [&] { return absl::StrCat(Text(site), " with mask 0x", absl::Hex(mask)); };
  if ((mask >> lane() & 1) == 0) Fail(*running_, asked() + " that lacks its own lane");
  if (warp_lanes < kWarp && mask >> warp_lanes != 0) {
    Fail(*running_, absl::StrCat(asked(), ", but the warp ends at lane ", warp_lanes - 1));
  }
  for (const Gathering& other : gatherings) {
    if (other.mask == mask && other.site == site) continue;
    // Apart, unless they wait for each other.
    if ((other.mask >> lane() & 1) == 0 || (other.arrived & mask) == 0) continue;
    Fail(*running_, absl::StrCat(asked(), ", while lanes it waits for wait for it in ",
                                 Text(other.site), " with mask 0x", absl::Hex(other.mask)));
  }
  return failure_.empty();
}

void Block::Collect(uint32_t mask, void* payload, CombineLanes combine, const Site& site) {
  const int warp = running_->index / kWarp;
  std::vector<Gathering>& gatherings = warps_[warp];
  // What failed is never resumed, so nothing may be held where it waits.
  if (!CheckLanes(gatherings, mask, site)) Wait(site);
  size_t at = 0;
  while (at < gatherings.size() && gatherings[at].mask != mask) ++at;
  if (at == gatherings.size()) gatherings.push_back({site, mask, 0, combine, {}});
  Gathering& gathering = gatherings[at];
  gathering.payloads[lane()] = payload;
  gathering.arrived |= 1u << lane();
  if (gathering.arrived == mask) {
    const Gathering complete = gathering;
    gatherings.erase(gatherings.begin() + static_cast<std::ptrdiff_t>(at));
    const std::string wrong = complete.combine(complete.payloads, mask);
    if (!wrong.empty()) Fail(*running_, absl::StrCat(Text(site), " ", wrong));
    for (int i = 0; i < kWarp; ++i) {
      if ((mask >> i & 1) != 0) ready_.push_back(warp * kWarp + i);
    }
  }
  Wait(site);
}

void Block::BeginCopy(void* shared, const void* global, int bytes, bool holds) {
  char* const to = static_cast<char*>(shared);
  const auto* from = static_cast<const char*>(global);
  const bool aligned =
      (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes == 0;
  if (!aligned || to < shared_.get() || to + bytes > shared_.get() + shared_bytes_) {
    Fail(*running_, absl::StrCat("copies ", bytes, " bytes to offset ", to - shared_.get(), " of ",
                                 shared_bytes_, " of shared memory",
                                 aligned ? "" : ", not aligned to as many"));
    return;
  }
  std::fill_n(to, bytes, '\xff');
  running_->copies.push_back({to, holds ? from : nullptr, bytes, running_->copy_groups});
}

void Block::FinishCopies(int groups_left) {
  std::erase_if(running_->copies, [&](const Copy& copy) {
    if (copy.group >= running_->copy_groups - groups_left) return false;
    if (copy.from == nullptr) {
      std::fill_n(copy.to, copy.bytes, '\0');
    } else {
      std::copy_n(copy.from, copy.bytes, copy.to);
    }
    return true;
  });
}

void Block::ExplainStandstill() {
  for (int i = 0; i < num_threads_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.fiber->ended() || thread.waits.operation == nullptr) continue;
    std::string who;
    for (int j = 0; j < num_threads_ && who.empty(); ++j) {
      const Thread& other = threads_[j];
      if (other.fiber->ended()) {
        who = absl::StrCat("thread ", Text(other.place), " has ended");
      } else if (!(other.waits == thread.waits)) {
        who = absl::StrCat("thread ", Text(other.place), " waits in ", Text(other.waits));
      }
    }
    Fail(thread, absl::StrCat("waits for ever in ", Text(thread.waits), ": ", who));
    return;
  }
}

}  // namespace

std::string RunGrid(const GridShape& shape, uint64_t seed, absl::FunctionRef<void()> body) {
  Random random(seed);
  std::vector<uint64_t> order(uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z);
  std::iota(order.begin(), order.end(), uint64_t{0});
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  for (const uint64_t at : order) {
    const uint3 index = {static_cast<unsigned int>(at % shape.grid.x),
                         static_cast<unsigned int>(at / shape.grid.x % shape.grid.y),
                         static_cast<unsigned int>(at / shape.grid.x / shape.grid.y)};
    std::string failure = ThisBlock().Run(shape, index, random, body);
    if (!failure.empty()) return failure;
  }
  return "";
}

void* SharedMemory() { return ThisBlock().shared(); }

int SyncThreads(bool predicate, const char* file, int line) {
  return ThisBlock().SyncThreads(predicate, {"__syncthreads", file, line});
}

void WarpCollective(const char* operation, uint32_t mask, void* payload, CombineLanes combine,
                    const char* file, int line) {
  ThisBlock().Collect(mask, payload, combine, {operation, file, line});
}

int CurrentLane() { return ThisBlock().lane(); }

void BeginCopy(void* shared, const void* global, int bytes, bool holds) {
  ThisBlock().BeginCopy(shared, global, bytes, holds);
}
void EndCopyGroup() { ThisBlock().EndCopyGroup(); }
void FinishCopies(int groups_left) { ThisBlock().FinishCopies(groups_left); }

}  // namespace layercake::simt
