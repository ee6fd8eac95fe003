#include "common/model/families.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

using nlohmann::json;

// Bounds that keep the bytes of one layer, and of the KV of one whole context, within an int64.
constexpr int64_t kMaxDim = 1 << 20;
constexpr int64_t kMaxHeads = 1 << 12;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxContext = 1 << 27;
constexpr int64_t kMaxExperts = 1 << 12;
constexpr int64_t kMaxExpertsPerToken = 1 << 7;

// What the Hugging Face library calls the dimensions, and what ChatGLM's own code does.
struct DimensionNames {
  const char* layers = "num_hidden_layers";
  const char* kv_heads = "num_key_value_heads";
  const char* head_dim = "head_dim";
  const char* vocab = "vocab_size";
  const char* intermediate = "intermediate_size";
  const char* context = "max_position_embeddings";
  const char* epsilon = "rms_norm_eps";
};

void CheckHeads(FieldReader& fields, const ModelConfig& config, const DimensionNames& names) {
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.Fail(names.kv_heads,
                absl::StrCat("(", config.num_kv_heads, ") must divide num_attention_heads (",
                             config.num_heads, ")"));
  }
  if (config.head_dim % 2 != 0) {
    fields.Fail(names.head_dim, absl::StrCat("must be even, got ", config.head_dim));
  }
  if (config.num_heads * config.head_dim > kMaxDim) {
    fields.Fail(names.head_dim, absl::StrCat("(", config.head_dim, ") times num_attention_heads (",
                                             config.num_heads, ") is not believable"));
  }
}

void ReadDimensions(FieldReader& fields, ModelConfig& config, const DimensionNames& names) {
  config.vocab_size = fields.Int(names.vocab, 1, kMaxVocab);
  config.hidden_dim = fields.Int("hidden_size", 1, kMaxDim);
  config.intermediate_dim = fields.Int(names.intermediate, 1, kMaxDim);
  config.num_layers = fields.Int(names.layers, 1, kMaxLayers);
  config.num_heads = fields.Int("num_attention_heads", 1, kMaxHeads);
  config.num_kv_heads = fields.Int(names.kv_heads, 1, kMaxHeads, config.num_heads);
  config.max_context_tokens = fields.Int(names.context, 1, kMaxContext);
  config.rms_norm_epsilon = fields.Number(names.epsilon, 0, 1, 1e-6);
  if (!fields.Has(names.head_dim) && config.hidden_dim % config.num_heads != 0) {
    fields.Fail("hidden_size",
                absl::StrCat("(", config.hidden_dim, ") is no multiple of num_attention_heads (",
                             config.num_heads, "), and head_dim is missing"));
  }
  config.head_dim = fields.Int(names.head_dim, 1, kMaxHeads, config.hidden_dim / config.num_heads);
  config.tied_embeddings = fields.Bool("tie_word_embeddings", false);
  CheckHeads(fields, config, names);
}

void ReadLlama(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.qkv_bias = config.output_bias = fields.Bool("attention_bias", false);
  config.mlp_bias = fields.Bool("mlp_bias", false);
}

void ReadQwen2(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.qkv_bias = true;
}

void ReadQwen3(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.qkv_bias = config.output_bias = fields.Bool("attention_bias", false);
  config.qk_norm = ModelConfig::QkNorm::kPerHead;
}

void ReadGlm4(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.qkv_bias = fields.Bool("attention_bias", false);
  config.post_norms = true;
}

void ReadChatGlm(FieldReader& fields, ModelConfig& config) {
  const bool grouped = fields.Bool("multi_query_attention", false);
  ReadDimensions(fields, config,
                 {.layers = "num_layers",
                  .kv_heads = grouped ? "multi_query_group_num" : "num_attention_heads",
                  .head_dim = "kv_channels",
                  .vocab = "padded_vocab_size",
                  .intermediate = "ffn_hidden_size",
                  .context = "seq_length",
                  .epsilon = "layernorm_epsilon"});
  const bool bias = fields.Bool("add_bias_linear", false);
  config.qkv_bias = bias || fields.Bool("add_qkv_bias", false);
  config.output_bias = config.mlp_bias = bias;
}

// Experts under the names given, in every layer.
MixtureOfExperts ReadExperts(FieldReader& fields, const ModelConfig& config, const char* count,
                             const char* per_token, const char* dim) {
  MixtureOfExperts experts;
  experts.num_experts = fields.Int(count, 1, kMaxExperts);
  experts.experts_per_token =
      fields.Int(per_token, 1, std::min(experts.num_experts, kMaxExpertsPerToken));
  experts.expert_dim = fields.Int(dim, 1, kMaxDim);
  experts.in_layer.assign(static_cast<size_t>(config.num_layers), true);
  return experts;
}

void ReadMixtral(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.experts =
      ReadExperts(fields, config, "num_local_experts", "num_experts_per_tok", "intermediate_size");
  config.experts->module = "block_sparse_moe.";
  config.experts->gate_proj = "w1";
  config.experts->up_proj = "w3";
  config.experts->down_proj = "w2";
}

void ReadQwen3Moe(FieldReader& fields, ModelConfig& config) {
  ReadQwen3(fields, config);
  MixtureOfExperts experts =
      ReadExperts(fields, config, "num_experts", "num_experts_per_tok", "moe_intermediate_size");
  experts.renormalized = fields.Bool("norm_topk_prob", false);
  const int64_t step = fields.Int("decoder_sparse_step", 1, kMaxLayers, 1);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    experts.in_layer[static_cast<size_t>(layer)] = (layer + 1) % step == 0;
  }
  if (const json* dense = fields.Find("mlp_only_layers"); dense != nullptr && dense->is_array()) {
    for (const json& layer : *dense) {
      if (layer.is_number_unsigned() &&
          layer.get<uint64_t>() < static_cast<uint64_t>(config.num_layers)) {
        experts.in_layer[layer.get<size_t>()] = false;
      } else {
        fields.Fail("mlp_only_layers", "must list layers of the model");
      }
    }
  }
  config.experts = std::move(experts);
}

void ReadDeepseekV3(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.qkv_bias = config.output_bias = fields.Bool("attention_bias", false);
  MixtureOfExperts experts = ReadExperts(fields, config, "n_routed_experts", "num_experts_per_tok",
                                         "moe_intermediate_size");
  const int64_t shared = fields.Int("n_shared_experts", 0, kMaxExpertsPerToken, 0);
  experts.shared_dim = shared * experts.expert_dim;
  experts.routing_bias = true;
  const int64_t dense = fields.Int("first_k_dense_replace", 0, kMaxLayers, 0);
  const int64_t step = fields.Int("moe_layer_freq", 1, kMaxLayers, 1);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    experts.in_layer[static_cast<size_t>(layer)] = layer >= dense && layer % step == 0;
  }
  config.experts = std::move(experts);
  LatentAttention latent;
  latent.query_rank = fields.Int("q_lora_rank", 1, kMaxDim, 0);
  latent.kv_rank = fields.Int("kv_lora_rank", 1, kMaxDim);
  latent.nope_dim = fields.Int("qk_nope_head_dim", 1, kMaxDim / config.num_heads);
  latent.rope_dim = fields.Int("qk_rope_head_dim", 2, kMaxDim / config.num_heads);
  latent.value_dim = fields.Int("v_head_dim", 1, kMaxDim / config.num_heads);
  config.latent_attention = latent;
}

void ReadMiniMaxM2(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  config.experts =
      ReadExperts(fields, config, "num_local_experts", "num_experts_per_tok", "intermediate_size");
  config.experts->routing_bias = fields.Bool("use_routing_bias", true);
  config.experts->shared_dim = fields.Int("shared_intermediate_size", 0, kMaxDim, 0);
  if (fields.Bool("use_qk_norm", true)) config.qk_norm = ModelConfig::QkNorm::kWhole;
}

void ReadErnie45Moe(FieldReader& fields, ModelConfig& config) {
  ReadDimensions(fields, config, {});
  const bool bias = fields.Bool("use_bias", false);
  config.qkv_bias = config.output_bias = config.mlp_bias = bias;
  MixtureOfExperts experts =
      ReadExperts(fields, config, "moe_num_experts", "moe_k", "moe_intermediate_size");
  const int64_t shared = fields.Int("moe_num_shared_experts", 0, kMaxExpertsPerToken, 0);
  experts.shared_dim = shared * experts.expert_dim;
  experts.routing_bias = true;
  const int64_t first = fields.Int("moe_layer_start_index", 0, kMaxLayers, 1);
  const int64_t last = fields.Int("moe_layer_end_index", -1, kMaxLayers, -1);
  const int64_t step = fields.Int("moe_layer_interval", 1, kMaxLayers, 1);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    experts.in_layer[static_cast<size_t>(layer)] =
        (layer + 1) % step == 0 && layer >= first && (last < 0 || layer <= last);
  }
  config.experts = std::move(experts);
}

constexpr Family kFamilies[] = {
    {"llama", "LlamaForCausalLM", true, ReadLlama},
    {"qwen2", "Qwen2ForCausalLM", true, ReadQwen2},
    {"mistral", "MistralForCausalLM", true, ReadLlama},
    {"qwen3", "Qwen3ForCausalLM", true, ReadQwen3},
    {"chatglm", "ChatGLMModel", false, ReadChatGlm},
    {"glm4", "Glm4ForCausalLM", false, ReadGlm4},
    {"mixtral", "MixtralForCausalLM", true, ReadMixtral},
    {"qwen3_moe", "Qwen3MoeForCausalLM", true, ReadQwen3Moe},
    {"deepseek_v3", "DeepseekV3ForCausalLM", false, ReadDeepseekV3},
    {"kimi_k2", "DeepseekV3ForCausalLM", false, ReadDeepseekV3},
    {"minimax_m2", "MiniMaxM2ForCausalLM", false, ReadMiniMaxM2},
    {"minimax", "MiniMaxM2ForCausalLM", false, ReadMiniMaxM2},
    {"ernie4_5_moe", "Ernie4_5_MoeForCausalLM", false, ReadErnie45Moe},
};

std::string KnownFamilies() {
  return absl::StrJoin(kFamilies, ", ", [](std::string* out, const Family& family) {
    absl::StrAppend(out, family.model_type, " (", family.class_name, ")");
  });
}

}  // namespace

std::string RunnableFamilies() {
  std::vector<const char*> types;
  for (const Family& family : kFamilies) {
    if (family.runnable) types.push_back(family.model_type);
  }
  return absl::StrJoin(types, ", ");
}

absl::StatusOr<const Family*> FindFamily(FieldReader& fields) {
  const std::string type = fields.String("model_type", "");
  std::vector<std::string> classes;
  if (const json* names = fields.Find("architectures"); names != nullptr && names->is_array()) {
    for (const json& name : *names) {
      if (name.is_string()) classes.push_back(name.get<std::string>());
    }
  }
  LC_RETURN_IF_ERROR(fields.status());
  for (const Family& family : kFamilies) {
    if (type.empty() && classes.empty()) break;
    if (!type.empty() && type != family.model_type) continue;
    if (!classes.empty() && classes[0] != family.class_name) continue;
    return &family;
  }
  return absl::UnimplementedError(
      absl::StrCat("config.json: unknown architecture: model_type \"", type, "\", architectures [",
                   absl::StrJoin(classes, ", "), "]; known are ", KnownFamilies()));
}

}  // namespace layercake
