#include "common/model/config.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/model/json_object.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 16 << 20;
constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();
// Bounds that keep the bytes of all weights, and of the KV of one whole context, within an int64.
constexpr int64_t kMaxDim = 1 << 20;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxContext = 1 << 27;

absl::StatusOr<std::string> ReadArchitecture(FieldReader& fields) {
  const std::string type = fields.String("model_type", "");
  std::vector<std::string> classes;
  if (const json* names = fields.Find("architectures"); names != nullptr && names->is_array()) {
    for (const json& name : *names) {
      if (name.is_string()) classes.push_back(name.get<std::string>());
    }
  }
  LC_RETURN_IF_ERROR(fields.status());
  const auto is = [&](absl::string_view known, absl::string_view known_class) {
    return (type == known || type.empty()) && (classes.empty() || classes[0] == known_class) &&
           !(type.empty() && classes.empty());
  };
  if (is("llama", "LlamaForCausalLM")) return "llama";
  if (is("qwen2", "Qwen2ForCausalLM")) return "qwen2";
  return absl::UnimplementedError(
      absl::StrCat("config.json: unknown architecture: model_type \"", type, "\", architectures [",
                   absl::StrJoin(classes, ", "),
                   "]; known are llama (LlamaForCausalLM) and qwen2 (Qwen2ForCausalLM)"));
}

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

// The factor that yarn multiplies cosines and sines with, where the file names its ingredients.
std::optional<double> YarnAttentionFactor(FieldReader& rope, double factor) {
  if (rope.Has("attention_factor")) return rope.Number("attention_factor", 0, 1e6);
  const double mscale = rope.Number("mscale", 0, 1e6, 0);
  const double mscale_all_dim = rope.Number("mscale_all_dim", 0, 1e6, 0);
  if (mscale == 0 || mscale_all_dim == 0) return std::nullopt;
  return (0.1 * mscale * std::log(factor) + 1) / (0.1 * mscale_all_dim * std::log(factor) + 1);
}

absl::StatusOr<RopeScaling> ReadRopeScaling(FieldReader& rope, int64_t max_position_embeddings) {
  using Type = RopeScaling::Type;
  RopeScaling scaling;
  const std::string type = rope.String("rope_type", rope.String("type", "default"));
  if (type == "default") return scaling;
  if (type == "linear") {
    scaling.type = Type::kLinear;
  } else if (type == "dynamic") {
    scaling.type = Type::kDynamic;
  } else if (type == "yarn") {
    scaling.type = Type::kYarn;
  } else if (type == "llama3") {
    scaling.type = Type::kLlama3;
  } else {
    return absl::UnimplementedError(
        absl::StrCat("config.json: rope type \"", type,
                     "\" is not known; known are default, linear, dynamic, yarn and llama3"));
  }
  scaling.factor = rope.Number("factor", 1, 1e6);
  scaling.original_max_position_embeddings =
      rope.Int("original_max_position_embeddings", 1, kMaxId, max_position_embeddings);
  if (scaling.type == Type::kLlama3) {
    scaling.low_freq_factor = rope.Number("low_freq_factor", 1e-6, 1e6);
    scaling.high_freq_factor = rope.Number("high_freq_factor", 1e-6, 1e6);
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
      rope.Fail("high_freq_factor", "must be greater than low_freq_factor");
    }
  } else if (scaling.type == Type::kYarn) {
    scaling.beta_fast = rope.Number("beta_fast", 1e-6, 1e6, 32);
    scaling.beta_slow = rope.Number("beta_slow", 1e-6, 1e6, 1);
    scaling.attention_factor = YarnAttentionFactor(rope, scaling.factor);
    if (!rope.Bool("truncate", true)) {
      return absl::UnimplementedError("config.json: yarn with truncate false is not known");
    }
  }
  return scaling;
}

absl::Status ReadRope(FieldReader& fields, ModelConfig& config) {
  config.rope_theta = fields.Number("rope_theta", 1e-3, 1e15, 10000);
  const json* object = fields.Find("rope_scaling");
  if (object == nullptr) object = fields.Find("rope_parameters");
  double rotary_share = fields.Number("partial_rotary_factor", 0, 1, 1);
  if (object != nullptr) {
    if (!object->is_object()) fields.Fail("rope_scaling", "must be an object");
    LC_RETURN_IF_ERROR(fields.status());
    FieldReader rope(*object, "config.json: rope parameters");
    config.rope_theta = rope.Number("rope_theta", 1e-3, 1e15, config.rope_theta);
    rotary_share = rope.Number("partial_rotary_factor", 0, 1, rotary_share);
    for (const auto& [name, value] : object->items()) {
      if (!value.is_object()) continue;
      return absl::UnimplementedError(absl::StrCat(
          "config.json: rope parameters per kind of layer (\"", name, "\") are not known"));
    }
    LC_ASSIGN_OR_RETURN(config.rope_scaling, ReadRopeScaling(rope, config.max_context_tokens));
    LC_RETURN_IF_ERROR(rope.status());
  }
  if (rotary_share != 1) {
    return absl::UnimplementedError(absl::StrCat("config.json: partial_rotary_factor ",
                                                 rotary_share, " is not known; only 1 is"));
  }
  return fields.status();
}

// Sliding windows are not computed; one that no sequence can outgrow does not matter.
absl::Status CheckSlidingWindow(FieldReader& fields, const ModelConfig& config) {
  if (config.architecture != "qwen2" || !fields.Bool("use_sliding_window", false)) {
    return fields.status();
  }
  const int64_t window = fields.Int("sliding_window", 0, kMaxId, kMaxId);
  if (window >= config.max_context_tokens) return fields.status();
  int64_t windowed = 0;
  if (const json* types = fields.Find("layer_types"); types != nullptr && types->is_array()) {
    for (const json& type : *types) windowed += type == "sliding_attention";
  } else {
    windowed =
        std::max<int64_t>(0, config.num_layers - fields.Int("max_window_layers", 0, kMaxId, 28));
  }
  LC_RETURN_IF_ERROR(fields.status());
  if (windowed == 0) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(
      "config.json: sliding window attention is not known: ", windowed, " of ", config.num_layers,
      " layers use a window of ", window, " tokens, the context being ", config.max_context_tokens,
      "; lower max_position_embeddings to ", window, " to serve without it"));
}

void ReadDimensions(FieldReader& fields, ModelConfig& config) {
  config.vocab_size = fields.Int("vocab_size", 1, kMaxVocab);
  config.hidden_dim = fields.Int("hidden_size", 1, kMaxDim);
  config.intermediate_dim = fields.Int("intermediate_size", 1, kMaxDim);
  config.num_layers = fields.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = fields.Int("num_attention_heads", 1, 1 << 12);
  config.num_kv_heads = fields.Int("num_key_value_heads", 1, 1 << 12, config.num_heads);
  config.max_context_tokens = fields.Int("max_position_embeddings", 1, kMaxContext);
  config.rms_norm_epsilon = fields.Number("rms_norm_eps", 0, 1, 1e-6);
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.Fail("num_key_value_heads",
                absl::StrCat("(", config.num_kv_heads, ") must divide num_attention_heads (",
                             config.num_heads, ")"));
  }
  if (!fields.Has("head_dim") && config.hidden_dim % config.num_heads != 0) {
    fields.Fail("hidden_size",
                absl::StrCat("(", config.hidden_dim, ") is no multiple of num_attention_heads (",
                             config.num_heads, "), and head_dim is missing"));
  }
  config.head_dim = fields.Int("head_dim", 1, 1 << 12, config.hidden_dim / config.num_heads);
  if (config.head_dim % 2 != 0) {
    fields.Fail("head_dim", absl::StrCat("must be even, got ", config.head_dim));
  }
  if (config.num_heads * config.head_dim > kMaxDim) {
    fields.Fail("head_dim", absl::StrCat("(", config.head_dim, ") times num_attention_heads (",
                                         config.num_heads, ") is not believable"));
  }
}

absl::Status CheckKnown(FieldReader& fields) {
  if (fields.Has("quantization_config")) {
    return absl::UnimplementedError(
        "config.json: quantization_config: the weights are quantized; only f32, f16 and bf16 "
        "checkpoints are read");
  }
  const std::string activation = fields.String("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    return absl::UnimplementedError(
        absl::StrCat("config.json: hidden_act \"", activation, "\" is not known; known is silu"));
  }
  return fields.status();
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
  ModelConfig config;
  LC_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(fields));
  LC_RETURN_IF_ERROR(CheckKnown(fields));
  ReadDimensions(fields, config);
  LC_RETURN_IF_ERROR(fields.status());
  LC_RETURN_IF_ERROR(ReadRope(fields, config));
  LC_RETURN_IF_ERROR(CheckSlidingWindow(fields, config));
  LC_ASSIGN_OR_RETURN(config.dtype, ReadDType(fields));
  config.tied_embeddings = fields.Bool("tie_word_embeddings", false);
  const bool is_qwen2 = config.architecture == "qwen2";
  const bool attention_bias = fields.Bool("attention_bias", false);
  config.qkv_bias = is_qwen2 || attention_bias;
  config.output_bias = !is_qwen2 && attention_bias;
  config.mlp_bias = !is_qwen2 && fields.Bool("mlp_bias", false);
  config.eos_ids = ReadIds(fields, "eos_token_id");
  const std::vector<int32_t> bos_ids = ReadIds(fields, "bos_token_id");
  if (!bos_ids.empty()) config.bos_id = bos_ids[0];
  LC_RETURN_IF_ERROR(fields.status());
  return config;
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
