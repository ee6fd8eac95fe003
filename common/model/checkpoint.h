#pragma once

// A Hugging Face model directory: its config and an index of its tensors, read through memory maps.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "common/model/mapped_file.h"
#include "common/model/safetensors.h"
#include "common/model/weight_type.h"

namespace layercake {

// Immutable after Open; thread-safe. Pages are read on first touch, so a worker that asks for its
// own layers' tensors reads only those from disk.
class Checkpoint {
 public:
  // Reads config.json, generation_config.json (if there) and the headers of model.safetensors or of
  // the shards that model.safetensors.index.json names. Errors: NotFound (no such directory or
  // file: says which), DataLoss, Unimplemented (only pytorch_model.bin there; unknown
  // architecture). What no worker can run opens too, to be planned.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  // `dtype` is the narrowest that holds every matrix exactly, whatever config.json declares;
  // `tensor_bytes` is set for what no worker runs.
  const ModelConfig& config() const { return config_; }
  // From now on config() says how a worker holds the weights; the tensors stay what they are.
  // REQUIRES: CheckMakeable(config(), type).
  void HoldWeightsAs(v1::WeightType type) { config_ = WithWeightType(config_, type); }
  const GenerationDefaults& generation_defaults() const { return generation_defaults_; }
  // The tensor `name`, checked to have `shape`.
  // Errors: DataLoss (missing, or of another shape: names both); Unimplemented (of a dtype that no
  // weight of ours has).
  absl::StatusOr<TensorEntry> Tensor(const std::string& name,
                                     const std::vector<int64_t>& shape) const;
  bool Has(const std::string& name) const { return tensors_.contains(name); }
  // The tensor `name` of 32-bit integers, little-endian, of any alignment, checked to have `shape`.
  // Errors: DataLoss (missing, of another dtype, shape or size).
  absl::StatusOr<absl::string_view> Integers(const std::string& name,
                                             const std::vector<int64_t>& shape) const;
  // Checks that a worker can run the model, and that every tensor the config calls for is there
  // with its shape. Errors: as CheckRunnable's, or Tensor's of the first that is not.
  absl::Status Validate() const;
  // Whether the files hold `module` of `layer` quantized: "mlp.down_proj"; of matrices that are
  // fused (layer_shape.h), ask for the first.
  bool HasQuantized(int64_t layer, absl::string_view module) const;
  // Tells the kernel that a tensor's pages were used and can go: loading must not fill memory with
  // pages that are already packed.
  void DropPages(absl::string_view data) const;

  // Of the tensors of readable dtypes; a tied table counts once.
  int64_t num_parameters() const;
  // Of the config, the tensors' names, dtypes and shapes, and a few weights of sixteen matrices:
  // the same for the same checkpoint whatever host the copy lies on, another one for a finetune of
  // it.
  uint64_t fingerprint() const { return fingerprint_; }
  // Which weight files these are, on this host; another string once they are replaced or written
  // to.
  std::string identity() const;

 private:
  Checkpoint() = default;
  absl::Status OpenWeights();
  absl::Status OpenShards();
  absl::StatusOr<SafetensorsHeader> OpenFile(const std::string& name);
  void Summarise(absl::string_view config_json);
  TensorBytes CountTensorBytes() const;

  std::string directory_;
  ModelConfig config_;
  GenerationDefaults generation_defaults_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, TensorEntry> tensors_;
  std::map<std::string, OtherTensor> others_;  // as SafetensorsHeader's
  uint64_t fingerprint_ = 0;
};

}  // namespace layercake
