#pragma once

// What tests of kernels share: fresh random inputs, devices of every instruction set.

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "common/base/logging.h"
#include "worker/device/device.h"
#include "worker/kernels/convert.h"

namespace layercake {

// Seeded afresh by each run; the seed is printed with a failure.
class RandomInput {
 public:
  RandomInput() : seed_(std::random_device{}()), random_(seed_) {}
  unsigned seed() const { return seed_; }

  int64_t Below(int64_t limit) {
    return std::uniform_int_distribution<int64_t>(0, limit - 1)(random_);
  }
  uint32_t Bits() { return static_cast<uint32_t>(random_()); }
  // `count` normally distributed numbers, as `dtype` would store them.
  std::vector<float> Normal(int64_t count, DType dtype = DType::kF32) {
    std::normal_distribution<float> normal;
    std::vector<float> values(count), stored(count), rounded(count);
    for (float& value : values) value = normal(random_);
    ConvertNumbers(values.data(), DType::kF32, count, stored.data(), dtype);
    ConvertNumbers(stored.data(), dtype, count, rounded.data(), DType::kF32);
    return rounded;
  }

 private:
  unsigned seed_;
  std::mt19937 random_;
};

// One per instruction set that runs here and thread count given.
inline std::vector<std::unique_ptr<Device>> TestDevices(const std::vector<int>& threads = {1, 3}) {
  std::vector<std::unique_ptr<Device>> devices;
  for (const CpuIsa isa : SupportedCpuIsas()) {
    for (const int count : threads) {
      auto device = Device::CreateCpu(count, isa);
      CHECK(device.ok()) << device.status();
      devices.push_back(*std::move(device));
    }
  }
  return devices;
}

inline std::string DeviceText(const Device& device) {
  return std::string(CpuIsaName(device.isa())) + ", " + std::to_string(device.num_threads()) +
         " threads";
}

// Bitwise, so that NaNs are equal and zeros of different signs are not.
inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) return false;
  }
  return true;
}

inline TensorView ViewOf(std::vector<float>& values, int64_t cols) {
  return F32View(values.data(), static_cast<int64_t>(values.size()) / cols, cols);
}

}  // namespace layercake
