#include "common/model/checkpoint.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/model/costs.h"
#include "common/model/json_object.h"
#include "common/model/layer_shape.h"
#include "common/model/quantized_tensors.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = 100'000'000;
constexpr size_t kSampledMatrices = 16;
constexpr size_t kSampledBytes = 64;

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// Says whose problem `status` is.
absl::Status In(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// FNV-1a: stable over hosts and builds, which std::hash and absl::Hash are not.
class Fingerprint {
 public:
  void Add(absl::string_view bytes) {
    for (const char c : bytes) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash_ = (hash_ ^ 0xff) * 0x100000001b3;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

// A matrix of a layer, or a norm.
struct LayerTensor {
  std::string module;  // "model.layers.0.mlp.up_proj"
  std::vector<int64_t> shape;
  bool bias = false;
  std::string fused;  // the module whose quantization it shares; empty: it is no matrix
};

std::vector<LayerTensor> LayerTensors(const ModelConfig& config, int64_t layer) {
  const int64_t hidden = config.hidden_dim, inner = config.intermediate_dim;
  const int64_t q = config.num_heads * config.head_dim;
  const int64_t kv = config.num_kv_heads * config.head_dim;
  std::vector<LayerTensor> tensors;
  const auto add = [&](absl::string_view name, std::vector<int64_t> shape, bool bias = false,
                       std::string fused = "") {
    tensors.push_back({absl::StrCat("model.layers.", layer, ".", name), std::move(shape), bias,
                       std::move(fused)});
  };
  add("input_layernorm", {hidden});
  add("self_attn.q_proj", {q, hidden}, config.qkv_bias, "self_attn.q_proj");
  add("self_attn.k_proj", {kv, hidden}, config.qkv_bias, "self_attn.q_proj");
  add("self_attn.v_proj", {kv, hidden}, config.qkv_bias, "self_attn.q_proj");
  add("self_attn.o_proj", {hidden, q}, config.output_bias, "self_attn.o_proj");
  if (config.qk_norm == ModelConfig::QkNorm::kPerHead) {
    add("self_attn.q_norm", {config.head_dim});
    add("self_attn.k_norm", {config.head_dim});
  }
  add("post_attention_layernorm", {hidden});
  if (HasExperts(config, layer)) {
    const MixtureOfExperts& experts = *config.experts;
    add(absl::StrCat(experts.module, "gate"), {experts.num_experts, hidden});
    for (int64_t i = 0; i < experts.num_experts; ++i) {
      const std::string expert = absl::StrCat(experts.module, "experts.", i, ".");
      const std::string first = absl::StrCat(experts.module, "experts.0.");
      add(expert + experts.gate_proj, {experts.expert_dim, hidden}, false,
          first + experts.gate_proj);
      add(expert + experts.up_proj, {experts.expert_dim, hidden}, false, first + experts.gate_proj);
      add(expert + experts.down_proj, {hidden, experts.expert_dim}, false,
          first + experts.down_proj);
    }
    return tensors;
  }
  add("mlp.gate_proj", {inner, hidden}, config.mlp_bias, "mlp.gate_proj");
  add("mlp.up_proj", {inner, hidden}, config.mlp_bias, "mlp.gate_proj");
  add("mlp.down_proj", {hidden, inner}, config.mlp_bias, "mlp.down_proj");
  return tensors;
}

// The layer that a tensor "...layers.<n>...." belongs to; nullopt: none.
std::optional<int64_t> LayerOf(absl::string_view tensor) {
  constexpr absl::string_view kLayers = "layers.";
  const size_t at = tensor.find(kLayers);
  if (at == absl::string_view::npos) return std::nullopt;
  const absl::string_view rest = tensor.substr(at + kLayers.size());
  int64_t layer = 0;
  if (!absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer) || layer < 0) return std::nullopt;
  return layer;
}

// What a directory without safetensors holds instead, in words.
absl::Status NoWeights(const std::string& directory) {
  std::vector<std::string> others;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (absl::EndsWith(name, ".gguf") || absl::StartsWith(name, "pytorch_model") ||
        absl::EndsWith(name, ".pth")) {
      others.push_back(name);
    }
  }
  if (others.empty()) {
    return absl::NotFoundError(absl::StrCat(directory, " has no weights: neither ", kSingleFile,
                                            " nor ", kIndexFile, " is there"));
  }
  return absl::UnimplementedError(
      absl::StrCat(directory, " has only ", *std::min_element(others.begin(), others.end()),
                   ", and only safetensors are read; convert it with save_pretrained(..., "
                   "safe_serialization=True), or download the safetensors"));
}

absl::StatusOr<std::map<std::string, std::string>> ParseIndex(absl::string_view text) {
  LC_ASSIGN_OR_RETURN(const json index, ParseJsonObject(text, kIndexFile, kMaxIndexBytes));
  const auto weights = index.find("weight_map");
  if (weights == index.end() || !weights->is_object() || weights->empty()) {
    return absl::DataLossError(absl::StrCat(kIndexFile, ": weight_map is missing or empty"));
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : weights->items()) {
    if (!shard.is_string()) {
      return absl::DataLossError(
          absl::StrCat(kIndexFile, ": weight_map names no file for ", tensor));
    }
    const std::string name = shard.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos || name == "." || name == "..") {
      return absl::DataLossError(absl::StrCat(kIndexFile, ": \"", name, "\" for ", tensor,
                                              " is no file name in this directory"));
    }
    shard_of[tensor] = name;
  }
  return shard_of;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& directory) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat("there is no model directory ", directory));
  }
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->directory_ = directory;
  LC_ASSIGN_OR_RETURN(const auto config_file, MappedFile::Open(directory + "/config.json"));
  auto config = ParseModelConfig(config_file->bytes());
  if (!config.ok()) return In(directory, config.status());
  checkpoint->config_ = *std::move(config);
  if (const std::string path = directory + "/generation_config.json"; Exists(path)) {
    LC_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
    auto defaults = ParseGenerationConfig(file->bytes(), checkpoint->config_);
    if (!defaults.ok()) return In(directory, defaults.status());
    checkpoint->generation_defaults_ = *std::move(defaults);
  }
  LC_RETURN_IF_ERROR(checkpoint->OpenWeights());
  checkpoint->Summarise(config_file->bytes());
  return checkpoint;
}

absl::Status Checkpoint::OpenWeights() {
  if (Exists(absl::StrCat(directory_, "/", kSingleFile))) {
    LC_ASSIGN_OR_RETURN(auto header, OpenFile(kSingleFile));
    tensors_ = std::move(header.tensors);
    others_ = std::move(header.others);
    return absl::OkStatus();
  }
  if (Exists(absl::StrCat(directory_, "/", kIndexFile))) return OpenShards();
  return NoWeights(directory_);
}

absl::Status Checkpoint::OpenShards() {
  LC_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(directory_ + "/" + kIndexFile));
  const auto index = ParseIndex(file->bytes());
  if (!index.ok()) return In(directory_, index.status());
  std::set<std::string> shards, missing;
  for (const auto& [tensor, shard] : *index) {
    shards.insert(shard);
    if (!Exists(absl::StrCat(directory_, "/", shard))) missing.insert(shard);
  }
  if (!missing.empty()) {
    return absl::NotFoundError(absl::StrCat(directory_, ": ", missing.size(), " of ", shards.size(),
                                            " shards are missing: ", absl::StrJoin(missing, ", "),
                                            "; download the rest"));
  }
  for (const std::string& shard : shards) {
    LC_ASSIGN_OR_RETURN(SafetensorsHeader header, OpenFile(shard));
    const auto is_elsewhere = [&](const auto& named) {
      const auto it = index->find(named.first);
      return it == index->end() || it->second != shard;
    };
    std::erase_if(header.tensors, is_elsewhere);
    std::erase_if(header.others, is_elsewhere);
    tensors_.merge(header.tensors);
    others_.merge(header.others);
  }
  for (const auto& [tensor, shard] : *index) {
    if (tensors_.contains(tensor) || others_.contains(tensor)) continue;
    return absl::DataLossError(absl::StrCat(directory_, ": ", kIndexFile, " says that ", tensor,
                                            " is in ", shard, ", but it is not"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsHeader> Checkpoint::OpenFile(const std::string& name) {
  const std::string path = absl::StrCat(directory_, "/", name);
  LC_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  auto header = ParseSafetensors(file->bytes());
  if (!header.ok()) return In(path, header.status());
  files_.push_back(std::move(file));
  return header;
}

void Checkpoint::Summarise(absl::string_view config_json) {
  Fingerprint fingerprint;
  fingerprint.Add(config_json);
  std::set<DType> dtypes;
  std::vector<absl::string_view> matrices;
  for (const auto& [name, tensor] : tensors_) {
    fingerprint.Add(absl::StrCat(name, " ", DTypeName(tensor.dtype), ShapeText(tensor.shape)));
    const bool scales = absl::EndsWith(name, ".scales") || absl::EndsWith(name, ".weight_scale");
    if (tensor.shape.size() != 2 || scales) continue;
    dtypes.insert(tensor.dtype);
    matrices.push_back(tensor.data);
  }
  for (const auto& [name, tensor] : others_) {
    fingerprint.Add(absl::StrCat(name, " ", tensor.dtype, ShapeText(tensor.shape)));
    if (tensor.shape.size() == 2) matrices.push_back(tensor.data);
  }
  // Reading more would wait for a slow disk; reading none would take a finetune for its base.
  const size_t count = std::min(matrices.size(), kSampledMatrices);
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view data = matrices[i * matrices.size() / count];
    fingerprint.Add(data.substr(data.size() / 2, kSampledBytes));
  }
  fingerprint_ = fingerprint.value();
  // Only f32 holds both f16's precision and bf16's range.
  if (!dtypes.empty()) config_.dtype = dtypes.size() == 1 ? *dtypes.begin() : DType::kF32;
  if (!CheckRunnable(config_).ok()) config_.tensor_bytes = CountTensorBytes();
}

TensorBytes Checkpoint::CountTensorBytes() const {
  TensorBytes bytes{.layers = std::vector<int64_t>(static_cast<size_t>(config_.num_layers), 0)};
  const auto add = [&](const std::string& name, int64_t size) {
    if (const std::optional<int64_t> layer = LayerOf(name)) {
      // Layers beyond the last are heads that predict several tokens; nothing here runs them.
      if (*layer < config_.num_layers) bytes.layers[static_cast<size_t>(*layer)] += size;
    } else if (absl::StrContains(name, "embed")) {
      bytes.embedding += size;
      if (config_.tied_embeddings) bytes.head += size;
    } else {
      bytes.head += size;
    }
  };
  for (const auto& [name, tensor] : tensors_) add(name, static_cast<int64_t>(tensor.data.size()));
  for (const auto& [name, tensor] : others_) add(name, static_cast<int64_t>(tensor.data.size()));
  return bytes;
}

std::string Checkpoint::identity() const {
  return absl::StrJoin(files_, " ", [](std::string* out, const auto& file) {
    absl::StrAppend(out, file->identity());
  });
}

absl::StatusOr<TensorEntry> Checkpoint::Tensor(const std::string& name,
                                               const std::vector<int64_t>& shape) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    if (const auto other = others_.find(name); other != others_.end()) {
      return absl::UnimplementedError(absl::StrCat(directory_, ": tensor ", name, " has dtype ",
                                                   other->second.dtype,
                                                   "; only F32, F16 and BF16 weights are read"));
    }
    return absl::DataLossError(absl::StrCat(directory_, ": tensor ", name,
                                            " is missing; config.json calls for it with shape ",
                                            ShapeText(shape)));
  }
  if (it->second.shape != shape) {
    return absl::DataLossError(absl::StrCat(directory_, ": tensor ", name, " has shape ",
                                            ShapeText(it->second.shape),
                                            ", but config.json calls for ", ShapeText(shape)));
  }
  return it->second;
}

absl::StatusOr<absl::string_view> Checkpoint::Integers(const std::string& name,
                                                       const std::vector<int64_t>& shape) const {
  const auto it = others_.find(name);
  if (it == others_.end()) {
    return absl::DataLossError(
        absl::StrCat(directory_, ": tensor ", name, tensors_.contains(name) ? " has dtype " : "",
                     tensors_.contains(name) ? DTypeName(tensors_.at(name).dtype) : " is missing",
                     "; quantization_config calls for it as I32 with shape ", ShapeText(shape)));
  }
  const OtherTensor& tensor = it->second;
  int64_t bytes = sizeof(int32_t);
  for (const int64_t dim : shape) bytes *= dim;
  if (tensor.dtype != "I32" || tensor.shape != shape ||
      static_cast<int64_t>(tensor.data.size()) != bytes) {
    return absl::DataLossError(absl::StrCat(
        directory_, ": tensor ", name, " is ", tensor.dtype, " ", ShapeText(tensor.shape), " of ",
        tensor.data.size(), " bytes, but quantization_config calls for I32 ", ShapeText(shape)));
  }
  return tensor.data;
}

absl::Status Checkpoint::Validate() const {
  if (const absl::Status status = CheckRunnable(config_); !status.ok()) {
    return In(directory_, status);
  }
  const std::vector<int64_t> table = {config_.vocab_size, config_.hidden_dim};
  LC_RETURN_IF_ERROR(Tensor("model.embed_tokens.weight", table).status());
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    for (const LayerTensor& tensor : LayerTensors(config_, layer)) {
      const bool quantized = HasQuantized(layer, tensor.fused);
      LC_RETURN_IF_ERROR(
          quantized ? FindQuantizedTensors(*this, tensor.module, tensor.shape[0], tensor.shape[1])
                          .status()
                    : Tensor(tensor.module + ".weight", tensor.shape).status());
      if (!tensor.bias) continue;
      LC_RETURN_IF_ERROR(Tensor(tensor.module + ".bias", {tensor.shape[0]}).status());
    }
  }
  LC_RETURN_IF_ERROR(Tensor("model.norm.weight", {config_.hidden_dim}).status());
  if (config_.quantization && config_.quantization->head) {
    return FindQuantizedTensors(*this, "lm_head", config_.vocab_size, config_.hidden_dim).status();
  }
  return config_.tied_embeddings ? absl::OkStatus() : Tensor("lm_head.weight", table).status();
}

bool Checkpoint::HasQuantized(int64_t layer, absl::string_view module) const {
  return !module.empty() && config_.quantization && config_.quantization->method != kOurGroups &&
         IsQuantized(config_, layer, {.module = std::string(module)});
}

void Checkpoint::DropPages(absl::string_view data) const {
  static const uintptr_t page = sysconf(_SC_PAGESIZE);
  const auto begin = reinterpret_cast<uintptr_t>(data.data());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + data.size()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

int64_t Checkpoint::num_parameters() const {
  if (config_.quantization) return static_cast<int64_t>(NumParameters(config_));
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors_) {
    count += static_cast<int64_t>(tensor.data.size()) / DTypeBytes(tensor.dtype);
  }
  return count;
}

}  // namespace layercake
