#include "worker/engine/kv_cache.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const ModelConfig& config,
                                                         int64_t num_layers,
                                                         const StageLimits& limits,
                                                         int64_t num_blocks, Device& device) {
  if (num_blocks < 1 || limits.block_size_tokens < 1 || num_layers < 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot hold ", num_blocks, " blocks of ",
                                                   limits.block_size_tokens, " tokens for ",
                                                   num_layers, " layers"));
  }
  if (limits.kv_dtype == DType::kBF16) {
    return absl::InvalidArgumentError("keys and values are kept in f32 or f16, not bf16");
  }
  const KvShape shape = {limits.kv_dtype, num_blocks, limits.block_size_tokens, config.num_kv_heads,
                         config.head_dim};
  const int64_t keys_bytes = num_blocks * shape.block_size_tokens * shape.num_kv_heads *
                             shape.head_dim * DTypeBytes(shape.dtype);
  std::unique_ptr<KvCache> cache(new KvCache());
  cache->num_blocks_ = num_blocks;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    LC_ASSIGN_OR_RETURN(Buffer buffer,
                        device.Allocate(num_blocks * LayerBlockBytes(config, limits),
                                        absl::StrCat("the KV cache of layer ", layer + 1, " of ",
                                                     num_layers, " in this stage")));
    cache->layers_.push_back({shape, buffer.data(), buffer.As<char>() + keys_bytes});
    cache->buffers_.push_back(std::move(buffer));
  }
  return cache;
}

int64_t KvCache::bytes() const {
  int64_t bytes = 0;
  for (const Buffer& buffer : buffers_) bytes += buffer.bytes();
  return bytes;
}

}  // namespace layercake
