#pragma once

// A stage's part of the model: its weights, and the forward pass over its layers.

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/model/checkpoint.h"
#include "common/model/costs.h"
#include "worker/device/device.h"
#include "worker/kernels/kv_layer.h"
#include "worker/model/weights.h"

namespace layercake {

// A step through a stage:
//
//   decoder->Embed(token_ids);                      // the first stage; others fill hidden()
//   decoder->Forward(slices, kv_cache->layers());
//   decoder->hidden(num_tokens);                    // to the next stage, or
//   decoder->Logits(rows);                          // the last stage
//
// Every row's result depends only on its own sequence's tokens up to it, bit for bit: not on the
// other slices, on how a prompt was cut into slices, or on where the model was cut into stages.
// On a CUDA device, steps whose slices are one token each are replayed (cuda_graphs.h).
// Used by one thread at a time.
class Decoder {
 public:
  // Packs the range's matrices in config().dtype, which most of the checkpoint's bytes have (the
  // rest is rounded to it), and takes the workspace: after it nothing is allocated. weight_bytes()
  // and workspace_bytes() are what StageWeightBytes() and WorkspaceBytes() say. Errors: DataLoss (a
  // tensor missing or of another shape); InvalidArgument (range or limits make no sense);
  // ResourceExhausted (device memory); Unimplemented (heads too wide for the device); Cancelled
  // (`progress` said so).
  static absl::StatusOr<std::unique_ptr<Decoder>> Load(const Checkpoint& checkpoint,
                                                       const LayerRange& range,
                                                       const StageLimits& limits, Device& device,
                                                       LoadProgress progress);
  ~Decoder();

  // The step's activations, [num_tokens, hidden_dim] f32 dense, one row per token of all slices,
  // one slice after another. Always the same memory. REQUIRES: num_tokens <= max_step_tokens.
  TensorView hidden(int64_t num_tokens) const;

  // Writes the tokens' embeddings to hidden(). REQUIRES: the range has the embedding; at most
  // max_step_tokens ids, each in [0, vocab_size).
  absl::Status Embed(std::span<const int32_t> token_ids);

  // Runs the range's layers on hidden(), in place, and adds keys and values to the slices' blocks.
  //   kv: one per layer of the range.
  // REQUIRES: slices of at most max_step_tokens together, positions below max_context_tokens, block
  // ids in [0, num_blocks) that cover every position, no block written by two slices.
  // Errors: Internal (device failure).
  absl::Status Forward(std::span<const SliceView> slices, std::span<const KvLayer> kv);

  // Final norm and output head of the given rows of hidden(), which stays as it is.
  // Returns [rows.size(), vocab_size] f32 in workspace, in the device's memory: valid until the
  // next call, may be overwritten (Sample does). REQUIRES: the range has the head; rows.size() <=
  // limits.max_batch_sequences: ask for more rows in several calls.
  // Errors: Internal (device failure).
  absl::StatusOr<TensorView> Logits(std::span<const int32_t> rows);

  int64_t weight_bytes() const;
  int64_t workspace_bytes() const;

 private:
  struct State;
  explicit Decoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace layercake
