#pragma once

// A block of a device's memory.

#include <cstdint>
#include <utility>

namespace layercake {

// Owns its bytes: 64-byte aligned, zeroed when allocated, returned to the device when destroyed.
// Movable, not copyable. Made by Device::Allocate only. Empty when default-constructed.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { Release(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      Release();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }

  void* data() const { return data_; }
  template <typename T>
  T* As() const {
    return static_cast<T*>(data_);
  }
  // What was asked for, rounded up to kAllocationBytes.
  int64_t bytes() const { return bytes_; }

 private:
  friend class Device;
  Buffer(void* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  void Release();

  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace layercake
