#include "worker/model/weights.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/layer_shape.h"
#include "common/model/weight_type.h"
#include "worker/kernels/convert.h"
#include "worker/model/quantized_source.h"

namespace layercake {
namespace {

constexpr int64_t kConversionBytes = 4 << 20;

struct Part {  // one tensor of a fused matrix
  std::string name;
  int64_t outputs;
  int64_t begin = 0;  // where they are
};

// One after another.
std::vector<Part> Parts(std::vector<Part> parts) {
  int64_t begin = 0;
  for (Part& part : parts) {
    part.begin = begin;
    begin += part.outputs;
  }
  return parts;
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const LayerRange& range, Device& device,
         LoadProgress progress)
      : checkpoint_(checkpoint),
        config_(checkpoint.config()),
        device_(device),
        progress_(progress),
        total_bytes_(StageWeightBytes(config_, range)) {}

  int64_t loaded_bytes() const { return loaded_bytes_; }
  int64_t total_bytes() const { return total_bytes_; }

  // [size] as f32, in a buffer of `padded` numbers.
  absl::StatusOr<Buffer> Vector(const std::string& name, int64_t size, int64_t padded) {
    LC_ASSIGN_OR_RETURN(Buffer buffer, device_.Allocate(padded * sizeof(float), name));
    LC_RETURN_IF_ERROR(CopyVector(name, size, buffer.As<float>()));
    LC_RETURN_IF_ERROR(Report(buffer.bytes()));
    return buffer;
  }

  absl::StatusOr<Buffer> Norm(const std::string& name) {
    return Vector(name + ".weight", config_.hidden_dim, config_.hidden_dim);
  }

  absl::StatusOr<Buffer> Table(const std::string& name) {
    const int64_t numbers = config_.vocab_size * config_.hidden_dim;
    LC_ASSIGN_OR_RETURN(const TensorEntry tensor,
                        checkpoint_.Tensor(name, {config_.vocab_size, config_.hidden_dim}));
    LC_ASSIGN_OR_RETURN(Buffer buffer, device_.Allocate(numbers * DTypeBytes(config_.dtype), name));
    LC_RETURN_IF_ERROR(CopyTable(tensor, buffer.data()));
    checkpoint_.DropPages(tensor.data);
    LC_RETURN_IF_ERROR(Report(buffer.bytes()));
    return buffer;
  }

  // The parts' rows where they belong: <prefix><part>.weight, or what holds it quantized.
  absl::StatusOr<PackedMatrix> Matrix(absl::string_view prefix, const std::vector<Part>& parts,
                                      int64_t outputs, int64_t inputs, bool as_integers) {
    if (as_integers) return IntegerMatrix(prefix, parts, outputs, inputs);
    LC_ASSIGN_OR_RETURN(PackedMatrix matrix,
                        PackedMatrix::Create(outputs, inputs, config_.dtype, device_,
                                             absl::StrCat("the weights of ", prefix)));
    for (const Part& part : parts) {
      LC_ASSIGN_OR_RETURN(
          const TensorEntry tensor,
          checkpoint_.Tensor(absl::StrCat(prefix, part.name, ".weight"), {part.outputs, inputs}));
      matrix.PackRows(part.begin, part.outputs, tensor.data.data(), tensor.dtype, device_);
      checkpoint_.DropPages(tensor.data);
    }
    LC_RETURN_IF_ERROR(Report(matrix.bytes()));
    return matrix;
  }

  // Of the layer `index`; `prefix` is what the parts' names begin with in it.
  absl::StatusOr<Linear> LinearOf(int64_t index, absl::string_view in_layer,
                                  const std::vector<Part>& parts, int64_t inputs, bool has_bias) {
    const std::string prefix = absl::StrCat("model.layers.", index, ".", in_layer);
    const int64_t outputs = parts.back().begin + parts.back().outputs;
    Linear linear;
    LC_ASSIGN_OR_RETURN(
        linear.matrix,
        Matrix(prefix, parts, outputs, inputs,
               IsQuantized(config_, index, {.module = absl::StrCat(in_layer, parts[0].name)})));
    if (!has_bias) return linear;
    const int64_t padded = linear.matrix.num_panels() * kPanelOutputs;
    LC_ASSIGN_OR_RETURN(linear.bias, device_.Allocate(padded * sizeof(float),
                                                      absl::StrCat("the biases of ", prefix)));
    for (const Part& part : parts) {
      LC_RETURN_IF_ERROR(CopyVector(absl::StrCat(prefix, part.name, ".bias"), part.outputs,
                                    linear.bias.As<float>() + part.begin));
    }
    LC_RETURN_IF_ERROR(Report(linear.bias.bytes()));
    return linear;
  }

  // The same matrix of every expert, each padded to whole panels.
  absl::StatusOr<PackedMatrix> OfExperts(int64_t index, const std::vector<const char*>& names,
                                         int64_t outputs_each, int64_t inputs) {
    const MixtureOfExperts& experts = *config_.experts;
    const std::string in_layer = absl::StrCat(experts.module, "experts.");
    const int64_t padded = PaddedOutputs(outputs_each * static_cast<int64_t>(names.size()));
    std::vector<Part> parts;
    for (int64_t expert = 0; expert < experts.num_experts; ++expert) {
      int64_t begin = expert * padded;
      for (const char* name : names) {
        parts.push_back({absl::StrCat(expert, ".", name), outputs_each, begin});
        begin += outputs_each;
      }
    }
    return Matrix(absl::StrCat("model.layers.", index, ".", in_layer), parts,
                  experts.num_experts * padded, inputs,
                  IsQuantized(config_, index, {.module = in_layer + parts[0].name}));
  }

  absl::Status Experts(int64_t index, LayerWeights& layer) {
    const MixtureOfExperts& experts = *config_.experts;
    const int64_t hidden = config_.hidden_dim, inner = experts.expert_dim;
    LC_ASSIGN_OR_RETURN(layer.router,
                        Matrix(absl::StrCat("model.layers.", index, ".", experts.module),
                               Parts({{"gate", experts.num_experts}}), experts.num_experts, hidden,
                               /*as_integers=*/false));
    LC_ASSIGN_OR_RETURN(layer.gate_up.matrix,
                        OfExperts(index, {experts.gate_proj, experts.up_proj}, inner, hidden));
    LC_ASSIGN_OR_RETURN(layer.down.matrix, OfExperts(index, {experts.down_proj}, hidden, inner));
    return absl::OkStatus();
  }

  absl::StatusOr<LayerWeights> Layer(int64_t index) {
    const std::string prefix = absl::StrCat("model.layers.", index, ".");
    const int64_t hidden = config_.hidden_dim, inner = config_.intermediate_dim;
    const int64_t q = config_.num_heads * config_.head_dim;
    const int64_t kv = config_.num_kv_heads * config_.head_dim;
    LayerWeights layer;
    LC_ASSIGN_OR_RETURN(layer.attention_norm, Norm(prefix + "input_layernorm"));
    LC_ASSIGN_OR_RETURN(layer.qkv, LinearOf(index, "self_attn.",
                                            Parts({{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}),
                                            hidden, config_.qkv_bias));
    if (config_.qk_norm == ModelConfig::QkNorm::kPerHead) {
      const int64_t dim = config_.head_dim;
      LC_ASSIGN_OR_RETURN(layer.q_norm, Vector(prefix + "self_attn.q_norm.weight", dim, dim));
      LC_ASSIGN_OR_RETURN(layer.k_norm, Vector(prefix + "self_attn.k_norm.weight", dim, dim));
    }
    LC_ASSIGN_OR_RETURN(layer.output, LinearOf(index, "self_attn.", Parts({{"o_proj", hidden}}), q,
                                               config_.output_bias));
    LC_ASSIGN_OR_RETURN(layer.mlp_norm, Norm(prefix + "post_attention_layernorm"));
    if (HasExperts(config_, index)) {
      LC_RETURN_IF_ERROR(Experts(index, layer));
      return layer;
    }
    LC_ASSIGN_OR_RETURN(layer.gate_up,
                        LinearOf(index, "mlp.", Parts({{"gate_proj", inner}, {"up_proj", inner}}),
                                 hidden, config_.mlp_bias));
    LC_ASSIGN_OR_RETURN(layer.down, LinearOf(index, "mlp.", Parts({{"down_proj", hidden}}), inner,
                                             config_.mlp_bias));
    return layer;
  }

 private:
  absl::StatusOr<PackedMatrix> IntegerMatrix(absl::string_view prefix,
                                             const std::vector<Part>& parts, int64_t outputs,
                                             int64_t inputs) {
    const Quantization& format = *config_.quantization;
    std::vector<StoredMatrix> stored;
    for (const Part& part : parts) {
      const std::string module = absl::StrCat(prefix, part.name);
      if (format.method == kOurGroups) {
        const std::string name = module + ".weight";
        LC_ASSIGN_OR_RETURN(const TensorEntry tensor,
                            checkpoint_.Tensor(name, {part.outputs, inputs}));
        stored.push_back({.rows = RoundedRows(name, tensor, format), .data = {tensor.data}});
      } else {
        LC_ASSIGN_OR_RETURN(StoredMatrix matrix,
                            ReadStoredMatrix(checkpoint_, module, part.outputs, inputs));
        stored.push_back(std::move(matrix));
      }
      if (stored.back().order != stored[0].order ||
          stored.back().scale_dtype != stored[0].scale_dtype) {
        return absl::UnimplementedError(absl::StrCat(
            checkpoint_.directory(), ": ", module, " is quantized in another order of inputs, or ",
            "with another type of scales, than what is computed together with it"));
      }
    }
    LC_ASSIGN_OR_RETURN(PackedMatrix matrix, PackedMatrix::CreateQuantized(
                                                 outputs, inputs, format, stored[0].scale_dtype,
                                                 device_, absl::StrCat("the weights of ", prefix)));
    std::vector<FusedPart> rows;
    for (size_t i = 0; i < parts.size(); ++i) {
      rows.push_back({std::move(stored[i].rows), parts[i].begin, parts[i].outputs});
    }
    const auto fused = FusedRows(std::move(rows));
    LC_RETURN_IF_ERROR(matrix.PackQuantized(*fused, stored[0].order, device_));
    for (const StoredMatrix& part : stored) {
      for (const absl::string_view data : part.data) checkpoint_.DropPages(data);
    }
    LC_RETURN_IF_ERROR(Report(matrix.bytes()));
    return matrix;
  }

  absl::Status CopyVector(const std::string& name, int64_t size, float* to) {
    LC_ASSIGN_OR_RETURN(const TensorEntry tensor, checkpoint_.Tensor(name, {size}));
    std::vector<float> numbers(size);
    ConvertNumbers(tensor.data.data(), tensor.dtype, size, numbers.data(), DType::kF32);
    return device_.CopyFromHost(F32View(to, 1, size), numbers.data(), size * sizeof(float));
  }

  // Some rows at a time, so that conversion needs little memory.
  absl::Status CopyTable(const TensorEntry& tensor, void* to) {
    const int64_t cols = config_.hidden_dim;
    const int64_t from_bytes = cols * DTypeBytes(tensor.dtype);
    const int64_t to_bytes = cols * DTypeBytes(config_.dtype);
    const int64_t most = std::max<int64_t>(1, kConversionBytes / to_bytes);
    std::vector<char> converted(std::min(most, config_.vocab_size) * to_bytes);
    for (int64_t row = 0; row < config_.vocab_size; row += most) {
      const int64_t rows = std::min(most, config_.vocab_size - row);
      ConvertNumbers(tensor.data.data() + row * from_bytes, tensor.dtype, rows * cols,
                     converted.data(), config_.dtype);
      const TensorView view = {static_cast<char*>(to) + row * to_bytes, config_.dtype, rows, cols,
                               cols};
      LC_RETURN_IF_ERROR(device_.CopyFromHost(view, converted.data(), rows * to_bytes));
    }
    return absl::OkStatus();
  }

  absl::Status Report(int64_t bytes) {
    LC_RETURN_IF_ERROR(device_.status());
    loaded_bytes_ += bytes;
    if (progress_(loaded_bytes_, total_bytes_)) return absl::OkStatus();
    return absl::CancelledError(absl::StrCat("loading ", checkpoint_.directory(),
                                             " was abandoned after ", loaded_bytes_, " of ",
                                             total_bytes_, " bytes"));
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  Device& device_;
  LoadProgress progress_;
  const int64_t total_bytes_;
  int64_t loaded_bytes_ = 0;
};

}  // namespace

absl::StatusOr<StageWeights> LoadStageWeights(const Checkpoint& checkpoint, const LayerRange& range,
                                              Device& device, LoadProgress progress) {
  const ModelConfig& config = checkpoint.config();
  Loader loader(checkpoint, range, device, progress);
  StageWeights weights;
  if (range.has_embedding) {
    LC_ASSIGN_OR_RETURN(weights.embedding, loader.Table("model.embed_tokens.weight"));
  }
  for (int64_t i = 0; i < range.num_layers; ++i) {
    LC_ASSIGN_OR_RETURN(LayerWeights layer, loader.Layer(range.first_layer + i));
    weights.layers.push_back(std::move(layer));
  }
  if (range.has_head) {
    LC_ASSIGN_OR_RETURN(weights.final_norm, loader.Norm("model.norm"));
    const bool as_integers = config.quantization && config.quantization->head;
    const absl::string_view head =
        config.tied_embeddings && !as_integers ? "model.embed_tokens" : "lm_head";
    LC_ASSIGN_OR_RETURN(weights.head,
                        loader.Matrix("", Parts({{std::string(head), config.vocab_size}}),
                                      config.vocab_size, config.hidden_dim, as_integers));
  }
  weights.bytes = loader.loaded_bytes();
  CHECK_EQ(weights.bytes, loader.total_bytes()) << "costs.h does not count what is loaded";
  return weights;
}

}  // namespace layercake
