#include "common/model/config.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/model/costs.h"
#include "common/model/families.h"
#include "common/model/json_object.h"
#include "common/model/quantization_config.h"
#include "common/model/rope_config.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 16 << 20;
constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();
// More is not believable, and sums of bytes could leave an int64.
constexpr double kMaxModelBytes = 1e17;

absl::StatusOr<DType> ReadDType(FieldReader& fields) {
  const std::string name =
      fields.String("dtype", fields.String("torch_dtype", /*fallback=*/"float32"));
  LC_RETURN_IF_ERROR(fields.status());
  const absl::string_view bare = absl::StripPrefix(name, "torch.");
  if (bare == "float32") return DType::kF32;
  if (bare == "float16") return DType::kF16;
  if (bare == "bfloat16") return DType::kBF16;
  return absl::UnimplementedError(absl::StrCat("config.json: dtype \"", name,
                                               "\" is not known; known are float32, float16 and "
                                               "bfloat16"));
}

// eos_token_id and its like: an id, a list of ids, or nothing.
std::vector<int32_t> ReadIds(FieldReader& fields, const char* name) {
  std::vector<int32_t> ids;
  const json* field = fields.Find(name);
  if (field == nullptr) return ids;
  const auto add = [&](const json& id) {
    if (!id.is_number_integer() || id.get<double>() < 0 || id.get<double>() > kMaxId) {
      fields.Fail(name, "must be a token id or a list of them");
    } else {
      ids.push_back(id.get<int32_t>());
    }
  };
  if (!field->is_array()) {
    add(*field);
  } else {
    for (const json& id : *field) add(id);
  }
  return ids;
}

// What the forward pass of a family that workers run does not compute.
absl::Status CheckComputed(FieldReader& fields, ModelConfig& config) {
  const std::string activation = fields.String("hidden_act", "silu");
  LC_RETURN_IF_ERROR(fields.status());
  if (activation != "silu" && activation != "swish") {
    return absl::UnimplementedError(
        absl::StrCat("config.json: hidden_act \"", activation, "\" is not known; known is silu"));
  }
  if (config.quantization) {
    LC_RETURN_IF_ERROR(CheckQuantizationRunnable(*config.quantization));
    if (config.experts && config.quantization->act_order) {
      return absl::UnimplementedError(
          "quantization_config: experts in the order of activations (desc_act) are computed by no "
          "worker yet; take a checkpoint quantized without it");
    }
  }
  LC_RETURN_IF_ERROR(ReadRope(fields, config));
  return CheckSlidingWindow(fields, config);
}

absl::Status CheckBelievable(const ModelConfig& config) {
  double bytes = static_cast<double>(EmbeddingWeightBytes(config) + HeadWeightBytes(config));
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    bytes += static_cast<double>(LayerWeightBytes(config, layer));
  }
  if (bytes <= kMaxModelBytes) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("config.json describes weights of ", bytes, " bytes, which is not believable"));
}

}  // namespace

int64_t DTypeBytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

absl::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
  }
  return "?";
}

absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view config_json) {
  LC_ASSIGN_OR_RETURN(const json object,
                      ParseJsonObject(config_json, "config.json", kMaxConfigBytes));
  FieldReader fields(object, "config.json");
  LC_ASSIGN_OR_RETURN(const Family* family, FindFamily(fields));
  ModelConfig config;
  config.architecture = family->model_type;
  family->read(fields, config);
  LC_RETURN_IF_ERROR(fields.status());
  LC_ASSIGN_OR_RETURN(config.quantization, ReadQuantization(fields));
  LC_ASSIGN_OR_RETURN(config.dtype, ReadDType(fields));
  config.eos_ids = ReadIds(fields, "eos_token_id");
  const std::vector<int32_t> bos_ids = ReadIds(fields, "bos_token_id");
  if (!bos_ids.empty()) config.bos_id = bos_ids[0];
  LC_RETURN_IF_ERROR(fields.status());
  if (!family->runnable) {
    config.not_runnable =
        absl::StrCat("config.json: workers compute ", RunnableFamilies(), ", not ",
                     family->model_type, " yet; layercake plan can size it");
  } else if (const absl::Status status = CheckComputed(fields, config);
             absl::IsUnimplemented(status)) {
    config.not_runnable = std::string(status.message());
  } else {
    LC_RETURN_IF_ERROR(status);
  }
  LC_RETURN_IF_ERROR(CheckBelievable(config));
  return config;
}

absl::Status CheckRunnable(const ModelConfig& config) {
  return config.not_runnable.empty() ? absl::OkStatus()
                                     : absl::UnimplementedError(config.not_runnable);
}

absl::StatusOr<GenerationDefaults> ParseGenerationConfig(absl::string_view generation_config_json,
                                                         ModelConfig& config) {
  constexpr char kFile[] = "generation_config.json";
  LC_ASSIGN_OR_RETURN(const json object,
                      ParseJsonObject(generation_config_json, kFile, kMaxConfigBytes));
  FieldReader fields(object, kFile);
  GenerationDefaults defaults;
  const auto read = [&](const char* name, double min, double max) {
    return fields.Has(name) ? std::optional<float>(fields.Number(name, min, max)) : std::nullopt;
  };
  if (!fields.Bool("do_sample", true)) {
    defaults.temperature = 0;
  } else {
    defaults.temperature = read("temperature", 0, 1e6);
    if (fields.Has("top_k")) defaults.top_k = fields.Int("top_k", 0, kMaxId);
    defaults.top_p = read("top_p", 1e-9, 1);
    defaults.min_p = read("min_p", 0, 1);
  }
  defaults.repetition_penalty = read("repetition_penalty", 1e-6, 1e6);
  const std::vector<int32_t> eos_ids = ReadIds(fields, "eos_token_id");
  const std::vector<int32_t> bos_ids = ReadIds(fields, "bos_token_id");
  LC_RETURN_IF_ERROR(fields.status());
  if (!eos_ids.empty()) config.eos_ids = eos_ids;
  if (!bos_ids.empty()) config.bos_id = bos_ids[0];
  return defaults;
}

}  // namespace layercake
