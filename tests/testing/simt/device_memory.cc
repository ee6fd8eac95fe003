#include "tests/testing/simt/device_memory.h"

#include <sys/mman.h>

#include "common/base/logging.h"

namespace layercake::simt {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kAlignment = 256;

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

// Room for guard pages and gaps: addresses cost nothing.
DeviceMemory::DeviceMemory(size_t total_bytes)
    : total_bytes_(total_bytes), reserved_bytes_(2 * total_bytes + (size_t{1} << 30)) {
  void* base =
      mmap(nullptr, reserved_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PCHECK(base != MAP_FAILED);
  base_ = static_cast<char*>(base);
}

DeviceMemory::~DeviceMemory() { munmap(base_, reserved_bytes_); }

void* DeviceMemory::Allocate(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const size_t asked = RoundUp(bytes, kAlignment);
  if (asked > total_bytes_ - used_bytes_) return nullptr;
  const size_t pages = RoundUp(asked, kPageBytes);
  char* first = base_;
  for (const auto& [other, range] : ranges_) {
    if (static_cast<size_t>(other - first) >= pages + kPageBytes) break;
    first = other + range.bytes + kPageBytes;
  }
  if (static_cast<size_t>(base_ + reserved_bytes_ - first) < pages) return nullptr;
  ranges_[first] = {pages, asked};
  used_bytes_ += asked;
  if (num_open_ > 0) Protect(first, pages, true);
  return first + pages - asked;
}

bool DeviceMemory::Free(void* data) {
  const std::lock_guard lock(mutex_);
  auto it = ranges_.upper_bound(static_cast<char*>(data));
  if (it == ranges_.begin()) return false;
  --it;
  const auto& [first, range] = *it;
  if (first + range.bytes - range.asked != data) return false;
  used_bytes_ -= range.asked;
  madvise(first, range.bytes, MADV_DONTNEED);
  Protect(first, range.bytes, false);
  ranges_.erase(it);
  return true;
}

bool DeviceMemory::Contains(const void* data) const {
  return data >= base_ && data < base_ + reserved_bytes_;
}

size_t DeviceMemory::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return total_bytes_ - used_bytes_;
}

void DeviceMemory::Protect(char* first, size_t bytes, bool readable) const {
  PCHECK(mprotect(first, bytes, readable ? PROT_READ | PROT_WRITE : PROT_NONE) == 0);
}

void DeviceMemory::Open() {
  const std::lock_guard lock(mutex_);
  if (num_open_++ > 0) return;
  for (const auto& [first, range] : ranges_) Protect(first, range.bytes, true);
}

void DeviceMemory::Close() {
  const std::lock_guard lock(mutex_);
  if (--num_open_ > 0) return;
  for (const auto& [first, range] : ranges_) Protect(first, range.bytes, false);
}

}  // namespace layercake::simt
