#pragma once

// A model cut into stages, all in this process: activations are handed on through memory.

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/checkpoint.h"
#include "worker/device/device.h"
#include "worker/engine/kv_cache.h"
#include "worker/model/decoder.h"

namespace layercake {

class StagePipeline {
 public:
  // `cuts`: the first layer of every stage but the first, ascending.
  static absl::StatusOr<std::unique_ptr<StagePipeline>> Load(const Checkpoint& checkpoint,
                                                             const std::vector<int64_t>& cuts,
                                                             const StageLimits& limits,
                                                             int64_t num_blocks, Device& device) {
    return Load(checkpoint, cuts, limits, num_blocks, std::vector<Device*>{&device});
  }
  // The stages take turns on `devices`.
  static absl::StatusOr<std::unique_ptr<StagePipeline>> Load(const Checkpoint& checkpoint,
                                                             const std::vector<int64_t>& cuts,
                                                             const StageLimits& limits,
                                                             int64_t num_blocks,
                                                             const std::vector<Device*>& devices) {
    auto pipeline = std::make_unique<StagePipeline>();
    const ModelConfig& config = checkpoint.config();
    pipeline->limits_ = limits;
    std::vector<int64_t> bounds = {0};
    bounds.insert(bounds.end(), cuts.begin(), cuts.end());
    bounds.push_back(config.num_layers);
    for (size_t i = 0; i + 1 < bounds.size(); ++i) {
      const LayerRange range = {bounds[i], bounds[i + 1] - bounds[i], i == 0,
                                i + 2 == bounds.size()};
      Device& device = *devices[i % devices.size()];
      LC_ASSIGN_OR_RETURN(auto decoder, Decoder::Load(checkpoint, range, limits, device,
                                                      [](int64_t, int64_t) { return true; }));
      LC_ASSIGN_OR_RETURN(auto kv,
                          KvCache::Create(config, range.num_layers, limits, num_blocks, device));
      pipeline->stages_.push_back({std::move(decoder), std::move(kv), &device});
    }
    return pipeline;
  }

  // Runs one step; returns the logits of the given rows of the step, [rows.size()][vocab_size].
  absl::StatusOr<std::vector<std::vector<float>>> Step(const std::vector<SliceView>& slices,
                                                       const std::vector<int32_t>& token_ids,
                                                       const std::vector<int32_t>& rows) {
    const int64_t num_tokens = static_cast<int64_t>(token_ids.size());
    LC_RETURN_IF_ERROR(stages_[0].decoder->Embed(token_ids));
    for (size_t i = 0; i < stages_.size(); ++i) {
      const TensorView hidden = stages_[i].decoder->hidden(num_tokens);
      if (i > 0) {
        const TensorView before = stages_[i - 1].decoder->hidden(num_tokens);
        std::vector<float> carried(num_tokens * hidden.cols);
        const int64_t bytes = num_tokens * hidden.cols * static_cast<int64_t>(sizeof(float));
        LC_RETURN_IF_ERROR(stages_[i - 1].device->CopyToHost(carried.data(), before, bytes));
        LC_RETURN_IF_ERROR(stages_[i].device->CopyFromHost(hidden, carried.data(), bytes));
      }
      LC_RETURN_IF_ERROR(stages_[i].decoder->Forward(slices, stages_[i].kv->layers()));
    }
    std::vector<std::vector<float>> result;
    const size_t most = static_cast<size_t>(limits_.max_batch_sequences);
    for (size_t first = 0; first < rows.size(); first += most) {
      const std::span<const int32_t> some(&rows[first], std::min(most, rows.size() - first));
      LC_ASSIGN_OR_RETURN(const TensorView logits, stages_.back().decoder->Logits(some));
      const int64_t row_bytes = logits.cols * static_cast<int64_t>(sizeof(float));
      for (int64_t r = 0; r < logits.rows; ++r) {
        result.emplace_back(logits.cols);
        LC_RETURN_IF_ERROR(stages_.back().device->CopyToHost(
            result.back().data(), F32View(logits.Row(r), 1, logits.cols), row_bytes));
      }
    }
    return result;
  }

  // One sequence alone, its tokens from `position` on in slices of at most `chunk`: the logits of
  // every one of them.
  absl::StatusOr<std::vector<std::vector<float>>> Run(const std::vector<int32_t>& ids,
                                                      int64_t position, int64_t chunk,
                                                      const std::vector<int32_t>& block_ids) {
    std::vector<std::vector<float>> logits;
    for (size_t first = 0; first < ids.size(); first += chunk) {
      const size_t count = std::min<size_t>(chunk, ids.size() - first);
      const SliceView slice = {position + static_cast<int64_t>(first), static_cast<int64_t>(count),
                               block_ids};
      std::vector<int32_t> rows(count);
      std::iota(rows.begin(), rows.end(), 0);
      const std::vector<int32_t> some(ids.begin() + first, ids.begin() + first + count);
      LC_ASSIGN_OR_RETURN(auto part, Step({slice}, some, rows));
      for (auto& row : part) logits.push_back(std::move(row));
    }
    return logits;
  }

  size_t num_stages() const { return stages_.size(); }

 private:
  struct Stage {
    std::unique_ptr<Decoder> decoder;
    std::unique_ptr<KvCache> kv;
    Device* device;
  };
  StageLimits limits_;
  std::vector<Stage> stages_;
};

}  // namespace layercake
