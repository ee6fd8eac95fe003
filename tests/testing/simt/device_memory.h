#pragma once

// An emulated device's memory.

#include <cstddef>
#include <map>
#include <mutex>

namespace layercake::simt {

// Every allocation ends at a page that cannot be touched, and none can be touched at all unless an
// Access is there: so a kernel that writes past its buffer, and a host thread that reads a device
// pointer, fault where they do it. Thread-safe.
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t total_bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Aligned to 256 bytes; null if there is not as much.
  void* Allocate(size_t bytes);
  // Returns false if `data` is not what Allocate returned.
  bool Free(void* data);
  bool Contains(const void* data) const;
  size_t total_bytes() const { return total_bytes_; }
  size_t free_bytes() const;

  class Access {
   public:
    explicit Access(DeviceMemory& memory) : memory_(memory) { memory_.Open(); }
    ~Access() { memory_.Close(); }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    DeviceMemory& memory_;
  };

 private:
  struct Range {
    size_t bytes;  // of whole pages
    size_t asked;
  };
  void Open();
  void Close();
  void Protect(char* first, size_t bytes, bool readable) const;

  const size_t total_bytes_;
  const size_t reserved_bytes_;
  char* base_;
  mutable std::mutex mutex_;
  std::map<char*, Range> ranges_;  // by their first page
  size_t used_bytes_ = 0;
  int num_open_ = 0;
};

}  // namespace layercake::simt
