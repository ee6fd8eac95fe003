#pragma once

// A Hugging Face model directory: its config and an index of its tensors, read through memory maps.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/config.h"

namespace layercake {

// A read-only file mapping; unmapped when destroyed.
class MappedFile {
 public:
  // Errors: NotFound, PermissionDenied, DataLoss (empty), Internal (mmap).
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  absl::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile(const char* data, size_t size) : data_(data), size_(size) {}
  const char* data_;
  size_t size_;
};

// One tensor's place in a safetensors file.
struct TensorEntry {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::string_view data;  // row-major, little-endian; points into the mapping
};

// Parses a safetensors file's header; entries point into `file`. Tensors of dtypes that no weight
// of ours has (int64 buffers, say) are left out. Errors: DataLoss (truncated, header too long (>
// 100 MB) or no JSON, offsets outside the data, overlapping, or not the size that dtype and shape
// make): names the tensor and the figures.
absl::StatusOr<std::map<std::string, TensorEntry>> ParseSafetensors(absl::string_view file);

// Immutable after Open; thread-safe. Pages are read on first touch, so a worker that asks for its
// own layers' tensors reads only those from disk.
class Checkpoint {
 public:
  // Reads config.json, generation_config.json (if there) and the headers of model.safetensors or of
  // the shards that model.safetensors.index.json names. Errors: NotFound (no such directory or
  // file: says which), DataLoss, Unimplemented (only pytorch_model.bin there; unknown
  // architecture).
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const ModelConfig& config() const { return config_; }
  const GenerationDefaults& generation_defaults() const { return generation_defaults_; }
  // The tensor `name`, checked to have `shape`.
  // Errors: DataLoss (missing, or of another shape: names both).
  absl::StatusOr<TensorEntry> Tensor(const std::string& name,
                                     const std::vector<int64_t>& shape) const;
  bool Has(const std::string& name) const { return tensors_.contains(name); }
  // Checks that every tensor the config calls for is there with its shape.
  // Errors: DataLoss (the first that is not).
  absl::Status Validate() const;
  // Tells the kernel that a tensor's pages were used and can go: loading must not fill memory with
  // pages that are already packed.
  void DropPages(const TensorEntry& tensor) const;

  int64_t num_parameters() const;
  // The same for the same config and tensor headers, whatever host the copy lies on.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  Checkpoint() = default;
  std::string directory_;
  ModelConfig config_;
  GenerationDefaults generation_defaults_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, TensorEntry> tensors_;
  uint64_t fingerprint_ = 0;
};

}  // namespace layercake
