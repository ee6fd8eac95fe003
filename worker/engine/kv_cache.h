#pragma once

// The bytes of a stage's KV blocks. Which block belongs to whom only the coordinator knows.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "common/model/costs.h"
#include "worker/device/device.h"
#include "worker/kernels/kv_layer.h"

namespace layercake {

// One thread at a time: the one that runs the stage's steps.
class KvCache {
 public:
  // Takes num_blocks blocks for each of `num_layers` layers: exactly num_layers * num_blocks *
  // LayerBlockBytes() bytes.
  // Errors: InvalidArgument (no blocks, block size or kv_dtype out of range); ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const ModelConfig& config,
                                                         int64_t num_layers,
                                                         const StageLimits& limits,
                                                         int64_t num_blocks, Device& device);

  // One per layer of the stage, in order; valid as long as the cache.
  std::span<const KvLayer> layers() const { return layers_; }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t bytes() const;

 private:
  KvCache() = default;
  int64_t num_blocks_ = 0;
  std::vector<Buffer> buffers_;
  std::vector<KvLayer> layers_;
};

}  // namespace layercake
