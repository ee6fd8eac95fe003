#pragma once

// What a stage costs on a device: bytes from common/model/costs.h, predicted times from the
// device's measured speed. The formulas are in this room's README.

#include <cstdint>
#include <string>
#include <vector>

#include "common/model/config.h"
#include "common/model/costs.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Times are predicted for sequences of this length, or of the plan's context where that is shorter.
inline constexpr int64_t kPlanningContextTokens = 2048;

// How fast a device is; both > 0.
struct DeviceSpeed {
  double bytes_per_second = 0;  // streamed by the decode product
  double flops_per_second = 0;  // of the prefill product

  bool operator==(const DeviceSpeed&) const = default;
};

// The measured profile, or a modest guess for what was not measured.
DeviceSpeed SpeedOf(const v1::Device& device, const v1::DeviceProfile& profile);

// Stages are [first, first + count) of the layers, count >= 1; the one that starts at 0 has the
// embedding, the one that ends at num_layers the head. Immutable.
class CostModel {
 public:
  // REQUIRES: limits.max_context_tokens > 0.
  CostModel(const ModelConfig& model, const StageLimits& limits);

  const StageLimits& limits() const { return limits_; }
  int num_layers() const { return static_cast<int>(model_.num_layers); }

  // Resident: all that the stage holds.
  int64_t WeightBytes(int first, int count) const;
  // Read by one step of `num_tokens` tokens: no embedding table, and of a layer's experts those
  // that so many tokens are expected to choose.
  double StreamedBytes(int first, int count, int64_t num_tokens) const;
  // Of one token through the layers (attention over the context not counted); of one row of logits.
  double LayerFlops(int first, int count) const;
  double HeadFlops(int first, int count) const;
  int64_t WorkspaceBytes(int first, int count) const;
  // Of one KV block over all the stage's layers.
  int64_t BlockBytes(int first, int count) const;

  // Of `tokens` tokens, as one stage hands them to the next: [tokens, hidden_dim] f32.
  int64_t ActivationBytes(int64_t tokens) const;

  // Blocks of one sequence of the whole context; and of one of the length that times are predicted
  // for.
  int64_t context_blocks() const { return context_blocks_; }
  int64_t sequence_blocks() const { return sequence_blocks_; }

  // One step that decodes one token of each of `sequences` sequences.
  double DecodeSeconds(const DeviceSpeed& speed, int first, int count, int64_t sequences) const;
  // One step of max_step_tokens prompt tokens.
  double PrefillSeconds(const DeviceSpeed& speed, int first, int count) const;

  // How the two come about, in words.
  std::string InWords() const;

 private:
  // Sums over the layers before one: [num_layers + 1], so that any run of them is a difference.
  struct Sums {
    int64_t weight_bytes = 0;
    int64_t expert_bytes = 0;
    double flops = 0;
    int expert_layers = 0;
  };
  bool HasHead(int first, int count) const { return first + count == num_layers(); }

  ModelConfig model_;
  StageLimits limits_;
  std::vector<Sums> before_;
  int64_t embedding_weight_bytes_;
  int64_t head_weight_bytes_;
  int64_t layer_block_bytes_;
  double head_flops_;
  // By which kinds of layers a stage has (1 dense, 2 experts, 3 both), and whether the head.
  int64_t workspace_bytes_[4][2] = {};
  int64_t context_blocks_;
  int64_t sequence_blocks_;
};

}  // namespace layercake
