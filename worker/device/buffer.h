#pragma once

// A block of a device's memory, or of host memory that a device copies from and to.

#include <cstdint>
#include <utility>

namespace layercake {

// Owns its bytes: 64-byte aligned, zeroed when allocated, given back when destroyed. Movable, not
// copyable. Made by a Device, which must outlive it. Empty when default-constructed.
class Buffer {
 public:
  using Free = void (*)(void* data, int64_t bytes, int device);

  Buffer() = default;
  // For devices only. `device`: CUDA's index of the one that made it.
  Buffer(void* data, int64_t bytes, Free free, int device = 0)
      : data_(data), bytes_(bytes), free_(free), device_(device) {}
  ~Buffer() { Release(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      Release();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
      free_ = other.free_;
      device_ = other.device_;
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
  void Release() {
    if (data_ != nullptr) free_(data_, bytes_, device_);
    data_ = nullptr;
    bytes_ = 0;
  }

  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Free free_ = nullptr;
  int device_ = 0;
};

}  // namespace layercake
