#pragma once

// A loaded stage: weights, KV blocks and workspace, and the steps that run on them.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/model/checkpoint.h"
#include "worker/device/device.h"
#include "worker/engine/kv_cache.h"
#include "worker/engine/row_sampler.h"
#include "worker/engine/step.h"
#include "worker/model/decoder.h"
#include "worker/transport/activation_link.h"

namespace layercake {

struct StageShape {
  LayerRange range;
  StageLimits limits;
  int64_t num_blocks = 0;
};

// What a stage takes of its device; the workspace with what its links need.
struct StageBytes {
  int64_t weights = 0;
  int64_t kv = 0;
  int64_t workspace = 0;
  int64_t total() const { return weights + kv + workspace; }
};

StageBytes CountStageBytes(const ModelConfig& config, const StageShape& shape);

// The two ends of a stage. Borrowed.
struct StageLinks {
  ActivationSource* source = nullptr;  // null: the first stage, which embeds
  ActivationSink* sink = nullptr;      // null: the last stage, which samples
};

// The progress figures may be read by any thread; the rest is one thread's at a time.
class StageExecutor {
 public:
  // Loads the weights and takes all memory the stage will ever use. `device` and `clock` must
  // outlive the stage; `checkpoint` need not.
  // Errors: as Decoder::Load and KvCache::Create.
  static absl::StatusOr<std::unique_ptr<StageExecutor>> Load(const Checkpoint& checkpoint,
                                                             const StageShape& shape,
                                                             Device& device, const Clock& clock,
                                                             LoadProgress progress);

  // Begins an epoch: what the KV blocks hold counts no more, steps count from 1. REQUIRES: the
  // links of the epoch before are closed.
  void StartEpoch(uint64_t epoch);

  // Runs one step: takes activations from the source or embeds, runs the layers, and sends the
  // activations on or samples. Steps come one by one, in the order of their ids. After an error the
  // epoch is lost: every further step fails with the same error. Logits that are NaN are the error
  // of their slice alone. Errors: FailedPrecondition (another epoch); InvalidArgument (a step out
  // of order or out of bounds, see CheckStep; sampling out of range); Internal (device failure); as
  // ActivationSource::Receive and ActivationSink::Send.
  // REQUIRES: the source is null exactly if the stage has the embedding, the sink exactly if it has
  // the head.
  absl::StatusOr<StepOutput> Run(const StepRequest& step, const StageLinks& links);

  // For the links of this epoch, if they take any; null where the stage has no such neighbour.
  const ActivationSlots& incoming() const { return incoming_; }
  const ActivationSlots& outgoing() const { return outgoing_; }

  uint64_t epoch() const { return epoch_; }
  const StageShape& shape() const { return shape_; }
  const StageBytes& bytes() const { return bytes_; }
  // Steps run since the epoch began.
  uint64_t num_steps() const { return num_steps_; }
  // How long the step in hand has been computing (waiting for a neighbour does not count); nothing
  // when idle.
  std::optional<absl::Duration> step_running() const;

 private:
  // A row of the last layer's output, and what its logits are for.
  struct Row {
    int32_t row = 0;
    size_t slice = 0;
    std::optional<size_t> known;  // index of the known next id to score
    bool sample = false;
  };

  StageExecutor(const StageShape& shape, int64_t vocab_size, Device& device, const Clock& clock);
  absl::StatusOr<StepOutput> RunChecked(const StepRequest& step, const StageLinks& links);
  absl::Status Compute(const StepRequest& step, bool embed, StepOutput& output);
  absl::Status ComputeOutputs(const StepRequest& step, StepOutput& output);
  absl::Status FillOutputs(const StepRequest& step, std::span<const Row> rows,
                           const TensorView& logits, StepOutput& output);

  const StageShape shape_;
  const int64_t vocab_size_;
  Device& device_;
  const Clock& clock_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvCache> kv_cache_;
  ActivationSlots incoming_;
  ActivationSlots outgoing_;
  RowSampler sampler_;
  StageBytes bytes_;
  uint64_t epoch_ = 0;
  absl::Status lost_;  // not OK: why no more steps run in this epoch
  std::atomic<uint64_t> num_steps_{0};
  std::atomic<int64_t> computing_since_nanos_{0};  // 0: not computing
};

}  // namespace layercake
