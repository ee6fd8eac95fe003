#include "worker/engine/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

class KvCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.num_kv_heads = 3;
    config_.head_dim = 10;
    LC_ASSERT_OK_AND_ASSIGN(device_, Device::CreateCpu(1));
  }

  ModelConfig config_;
  StageLimits limits_;
  std::unique_ptr<Device> device_;
};

TEST_F(KvCacheTest, TakesWhatTheCostsSay) {
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    limits_.kv_dtype = dtype;
    for (const int64_t size : {1, 16, 5}) {
      limits_.block_size_tokens = size;
      LC_ASSERT_OK_AND_ASSIGN(const auto cache, KvCache::Create(config_, 4, limits_, 7, *device_));
      EXPECT_EQ(cache->bytes(), 4 * 7 * LayerBlockBytes(config_, limits_));
      EXPECT_EQ(cache->num_blocks(), 7);
    }
  }
}

TEST_F(KvCacheTest, LayersDoNotOverlap) {
  LC_ASSERT_OK_AND_ASSIGN(const auto cache, KvCache::Create(config_, 3, limits_, 5, *device_));
  ASSERT_EQ(cache->layers().size(), 3);
  const int64_t numbers = 5 * 16 * 3 * 10;
  float value = 1;
  for (const KvLayer& layer : cache->layers()) {
    EXPECT_EQ(layer.shape.num_blocks, 5);
    std::fill_n(static_cast<float*>(layer.keys), numbers, value++);
    std::fill_n(static_cast<float*>(layer.values), numbers, value++);
  }
  value = 1;
  for (const KvLayer& layer : cache->layers()) {
    for (const void* half : {layer.keys, layer.values}) {
      const float* data = static_cast<const float*>(half);
      EXPECT_EQ(std::count(data, data + numbers, value), numbers);
      ++value;
    }
  }
}

TEST_F(KvCacheTest, RefusesWhatMakesNoSense) {
  EXPECT_THAT(KvCache::Create(config_, 3, limits_, 0, *device_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 blocks")));
  limits_.kv_dtype = DType::kBF16;
  EXPECT_THAT(KvCache::Create(config_, 3, limits_, 1, *device_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bf16")));
}

TEST_F(KvCacheTest, SaysWhichLayerDidNotFit) {
  EXPECT_THAT(KvCache::Create(config_, 3, limits_, int64_t{1} << 40, *device_),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("layer 1 of 3")));
}

}  // namespace
}  // namespace layercake
