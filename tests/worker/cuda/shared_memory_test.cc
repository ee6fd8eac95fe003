#include "worker/kernels/shared_memory.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/testing/simt/emulation.h"

namespace layercake {
namespace {

class SharedMemoryTest : public ::testing::Test {
 protected:
  SharedMemoryTest() { simt::SetDevices({{.major = 8}}); }
  // Stands for a kernel that there was not before.
  static const void* NewKernel() {
    static std::deque<char> kernels;
    return &kernels.emplace_back();
  }
  int64_t Asked() const { return simt::NumFunctionAttributes() - before_; }

  const int64_t before_ = simt::NumFunctionAttributes();
  const void* const one_ = NewKernel();
  const void* const other_ = NewKernel();
};

TEST_F(SharedMemoryTest, IsAskedForOnceUnlessAKernelNeedsMore) {
  constexpr size_t kLittle = 60 << 10, kMuch = 90 << 10;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(AllowSharedBytes(one_, kLittle), cudaSuccess);
  EXPECT_EQ(Asked(), 1);
  EXPECT_EQ(AllowSharedBytes(other_, kLittle), cudaSuccess);
  EXPECT_EQ(Asked(), 2);
  EXPECT_EQ(AllowSharedBytes(one_, kMuch), cudaSuccess);
  EXPECT_EQ(AllowSharedBytes(one_, kLittle), cudaSuccess);
  EXPECT_EQ(Asked(), 3);
}

TEST_F(SharedMemoryTest, RefusalsAreNotRemembered) {
  constexpr size_t kTooMuch = 300 << 10;
  for (int i = 1; i < 3; ++i) {
    EXPECT_EQ(AllowSharedBytes(one_, kTooMuch), cudaErrorInvalidValue);
    EXPECT_EQ(Asked(), i);
  }
}

}  // namespace
}  // namespace layercake
