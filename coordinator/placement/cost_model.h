#pragma once

// What a stage costs on a device: bytes from common/model/costs.h, predicted times from the
// device's measured speed. The formulas are in this room's README.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/model/config.h"
#include "common/model/costs.h"
#include "coordinator/placement/device_speed.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// Times are predicted for sequences of this length, or of the plan's context where that is shorter.
inline constexpr int64_t kPlanningContextTokens = 2048;

// Handing a step to a stage and taking its result, whatever the model: what makes one stage better
// than two equally fast ones.
inline constexpr double kStageOverheadSeconds = 100e-6;

// Consecutive tokens of one sequence in a step, as its cost depends on them.
struct StepSlice {
  int64_t position = 0;  // of the first token in its sequence
  int64_t num_tokens = 1;
  bool sampled = true;  // the token after the last one is drawn
};

// Stages are [first, first + count) of the layers, count >= 1; the one that starts at 0 has the
// embedding, the one that ends at num_layers the head. Immutable.
class CostModel {
 public:
  // REQUIRES: limits.max_context_tokens > 0.
  CostModel(const ModelConfig& model, const StageLimits& limits);

  const StageLimits& limits() const { return limits_; }
  int num_layers() const { return static_cast<int>(model_.num_layers); }
  // Where the first of the stages starts that cost the same: as many layers, each like the other.
  int FirstLike(int first, int count) const;
  // [count]: where those between the ends start that cost different things, for 1 <= count <
  // num_layers.
  const std::vector<std::vector<int>>& unlike_middles() const { return unlike_middles_; }

  // Resident: all that the stage holds.
  int64_t WeightBytes(int first, int count) const;
  // Read by one step of `num_tokens` tokens: no embedding table, and of a layer's experts those
  // that so many tokens are expected to choose. StreamedExpertBytes: these alone.
  double StreamedBytes(int first, int count, int64_t num_tokens) const;
  double StreamedExpertBytes(int first, int count, int64_t num_tokens) const;
  // Of one token through the layers (attention over the context not counted); of one row of logits.
  double LayerFlops(int first, int count) const;
  double HeadFlops(int first, int count) const;
  // What its links need included.
  int64_t WorkspaceBytes(int first, int count) const;
  // Of one KV block over all the stage's layers.
  int64_t BlockBytes(int first, int count) const;

  // Of `tokens` tokens, as one stage hands them to the next: [tokens, hidden_dim].
  int64_t ActivationBytes(int64_t tokens) const;

  // Blocks of one sequence of the whole context; and of one of the length that times are predicted
  // for.
  int64_t context_blocks() const { return context_blocks_; }
  int64_t sequence_blocks() const { return sequence_blocks_; }

  // What the stage computes for one step of these slices; no overhead.
  double StepSeconds(const DeviceSpeed& speed, int first, int count,
                     std::span<const StepSlice> slices) const;
  // With the overhead, one step that decodes one token of each of `sequences` sequences, at the
  // planning context.
  double DecodeSeconds(const DeviceSpeed& speed, int first, int count, int64_t sequences) const;
  // With the overhead, one step of max_step_tokens prompt tokens from the beginning of a sequence.
  double PrefillSeconds(const DeviceSpeed& speed, int first, int count) const;

  // How times come about, in words, for people who read a plan.
  std::string InWords() const;

 private:
  // Sums over the layers before one: [num_layers + 1], so that any run of them is a difference.
  struct Sums {
    int64_t weight_bytes = 0;
    int64_t expert_bytes = 0;
    double flops = 0;
    double expert_flops = 0;
    int expert_layers = 0;
    bool operator==(const Sums&) const = default;
  };
  void FindRuns();
  Sums SumsOf(int first, int count) const;
  bool HasHead(int first, int count) const { return first + count == num_layers(); }
  // What a step amounts to, whoever's tokens they are.
  struct Load {
    double tokens = 0;
    double sampled = 0;
    double kv_tokens_read = 0;  // of one layer; in each pass over them anew
    double kv_tokens_held = 0;  // by the sequences
    double kv_rows = 1;         // of query heads that share a pass
  };
  Load LoadOf(const DeviceSpeed& speed, std::span<const StepSlice> slices) const;
  // Of matrices held as integers or as numbers of the model's type.
  double ProductSeconds(const DeviceSpeed& speed, bool integers, double bytes, double flops,
                        double working_set_bytes) const;
  double AttentionSeconds(const DeviceSpeed& speed, double kv_bytes, double kv_rows,
                          double working_set_bytes) const;
  double LoadSeconds(const DeviceSpeed& speed, int first, int count, const Load& load) const;

  ModelConfig model_;
  StageLimits limits_;
  std::vector<Sums> before_;
  std::vector<int> run_of_;  // [layer]: the first of the equal layers in a row that it is one of
  std::vector<std::vector<int>> unlike_middles_;
  int64_t embedding_weight_bytes_;
  int64_t head_weight_bytes_;
  double bytes_per_integer_;  // scales and zeros included; 0: the model has none
  int64_t layer_block_bytes_;
  double head_flops_;
  double layer_activation_values_;  // of one token
  double queries_per_kv_head_;
  // By which kinds of layers a stage has (1 dense, 2 experts, 3 both), and whether the head.
  int64_t workspace_bytes_[4][2] = {};
  int64_t context_blocks_;
  int64_t sequence_blocks_;
};

}  // namespace layercake
