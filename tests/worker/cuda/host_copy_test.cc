// Copies beside computing, on any CUDA device, emulated or a card.

#include "worker/device/host_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/test_card.h"
#include "worker/device/cuda_device.h"
#include "worker/kernels/convert.h"
#include "worker/kernels/elementwise.h"

namespace layercake {
namespace {

constexpr uint64_t kSeeds = 20;

class HostCopyTest : public ::testing::Test {
 protected:
  HostCopyTest()
      : count_(CardIsEmulated() ? 1 << 12 : 1 << 20),
        device_(TestCard()),
        numbers_(Upload(*device_, std::vector<float>(count_))),
        ones_(Upload(*device_, std::vector<float>(count_, 1))) {
    for (auto& copy : copies_) copy = *device_->CreateHostCopy(bytes(), "a test");
  }

  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(float)); }
  TensorView View(const Buffer& buffer) const { return F32View(buffer.As<float>(), 1, count_); }
  void Add(const Buffer& to, const Buffer& buffer) { AddInPlace(View(to), View(buffer), *device_); }
  std::vector<float> All(float value) const { return std::vector<float>(count_, value); }
  std::vector<float> OnHost(const HostCopy& copy) const {
    std::vector<float> values(count_);
    std::memcpy(values.data(), copy.on_host(), bytes());
    return values;
  }

  const int64_t count_;
  std::unique_ptr<Device> device_;
  Buffer numbers_, ones_;
  std::unique_ptr<HostCopy> copies_[2];
};

TEST_F(HostCopyTest, NumbersAreConvertedAsOnTheHost) {
  std::vector<float> values(count_), widened(count_);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    std::uniform_real_distribution<float> exponent(-30, 20);
    for (float& value : values) {
      value = std::exp2(exponent(random)) * (random() % 2 == 0 ? 1.0f : -1.0f);
    }
    const Buffer numbers = Upload(*device_, values);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      std::string expected(count_ * DTypeBytes(dtype), '\0');
      ConvertNumbers(values.data(), DType::kF32, count_, expected.data(), dtype);
      HostCopy& copy = *copies_[0];
      ConvertNumbers(numbers.data(), DType::kF32, count_, copy.on_device(), dtype, *device_);
      copy.BeginToHost(std::ssize(expected));
      ASSERT_OK(copy.Wait());
      EXPECT_TRUE(expected == std::string(copy.on_host(), expected.size()));
      ConvertNumbers(copy.on_device(), dtype, count_, numbers_.data(), DType::kF32, *device_);
      ConvertNumbers(expected.data(), dtype, count_, widened.data(), DType::kF32);
      EXPECT_TRUE(Download(*device_, numbers_, count_) == widened);
    }
  }
}

TEST_F(HostCopyTest, ToTheHostIsWhatWasThereWhenItBegan) {
  float sum = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    ShuffleThreads(seed);
    for (int i = 0; i < 10; ++i) {
      HostCopy& copy = *copies_[i % 2];
      ASSERT_OK(copy.Wait());
      if (i >= 2) {
        ASSERT_TRUE(OnHost(copy) == All(sum - 1)) << "seed " << seed;
      }
      Add(numbers_, ones_);
      ++sum;
      ConvertNumbers(numbers_.data(), DType::kF32, count_, copy.on_device(), DType::kF32, *device_);
      copy.BeginToHost(bytes());
    }
  }
}

TEST_F(HostCopyTest, ToTheDeviceIsThereWhenUsedAndUntilThen) {
  float sum = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    ShuffleThreads(seed);
    for (int i = 1; i <= 10; ++i) {
      HostCopy& copy = *copies_[i % 2];
      ASSERT_OK(copy.Wait());
      std::thread([&] {
        std::fill_n(reinterpret_cast<float*>(copy.on_host()), count_, static_cast<float>(i));
        copy.BeginToDevice(bytes());
      }).join();
      copy.Use([&] {
        AddInPlace(View(numbers_), F32View(reinterpret_cast<float*>(copy.on_device()), 1, count_),
                   *device_);
      });
      sum += static_cast<float>(i);
    }
    ASSERT_TRUE(Download(*device_, numbers_, count_) == All(sum)) << "seed " << seed;
  }
}

TEST_F(HostCopyTest, OtherThreadsDisturbNoRecording) {
  HostCopy& out = *copies_[0];
  HostCopy& in = *copies_[1];
  Add(numbers_, ones_);
  float sum = 1;
  for (int i = 1; i <= 10; ++i) {
    ConvertNumbers(numbers_.data(), DType::kF32, count_, out.on_device(), DType::kF32, *device_);
    out.BeginToHost(bytes());
    LC_ASSERT_OK_AND_ASSIGN(const CudaGraph graph, AsCuda(*device_).Capture([&] {
      Add(numbers_, ones_);
      std::thread([&] {
        EXPECT_OK(out.Wait());
        std::fill_n(reinterpret_cast<float*>(in.on_host()), count_, 3.0f);
        in.BeginToDevice(bytes());
        EXPECT_OK(in.Wait());
      }).join();
      Add(numbers_, ones_);
    }));
    EXPECT_TRUE(OnHost(out) == All(sum));
    in.Use([&] {
      ConvertNumbers(in.on_device(), DType::kF32, count_, numbers_.data(), DType::kF32, *device_);
    });
    AsCuda(*device_).Launch(graph);
    sum = 5;
    EXPECT_TRUE(Download(*device_, numbers_, count_) == All(sum));
  }
}

}  // namespace
}  // namespace layercake
