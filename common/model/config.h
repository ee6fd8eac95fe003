#pragma once

// What a checkpoint's config.json says, in one form for every family and age of file.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/dtype.h"

namespace layercake {

absl::string_view DTypeName(DType dtype);  // "f32", "f16", "bf16"

// How rotary frequencies are stretched beyond the length a model was trained at.
struct RopeScaling {
  enum class Type { kNone, kLinear, kDynamic, kYarn, kLlama3 };
  Type type = Type::kNone;
  double factor = 1;
  // kLlama3
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  // kLlama3, kYarn, kDynamic: the length trained at, in tokens.
  int64_t original_max_position_embeddings = 0;
  // kYarn
  double beta_fast = 32;
  double beta_slow = 1;
  std::optional<double> attention_factor;
};

// Feed-forward layers that send each token through a few of many experts.
struct MixtureOfExperts {
  int64_t num_experts = 0;  // of a layer, without the shared ones; 0: every layer is dense
  int64_t experts_per_token = 0;
  int64_t expert_dim = 0;  // intermediate width of one
  int64_t shared_dim = 0;  // of the shared experts together, which every token passes; 0: none
  bool routing_bias = false;
  bool renormalized = true;    // a token's experts weigh 1 together, however sure the router is
  std::vector<bool> in_layer;  // [num_layers]: which layers have experts; the others are dense
  // What checkpoints call them within a layer: <module>gate is the router, and
  // <module>experts.<number>.<name> one's matrices.
  const char* module = "mlp.";
  const char* gate_proj = "gate_proj";
  const char* up_proj = "up_proj";
  const char* down_proj = "down_proj";
};

// DeepSeek's attention: keys and values are one compressed vector per token, for all heads.
// Source: DeepSeek-AI 2024, arXiv:2405.04434.
struct LatentAttention {
  int64_t query_rank = 0;  // 0: queries are projected in one step
  int64_t kv_rank = 0;
  int64_t nope_dim = 0;  // of a head's query and key, without position
  int64_t rope_dim = 0;  // and with it; one key for all heads
  int64_t value_dim = 0;
};

// How the matrices of layers are quantized; embedding, norms, routers and (mostly) the head are
// not.
struct Quantization {
  std::string method;  // "gptq", "awq", "compressed-tensors", "fp8"; "groups": by our worker
  std::string layout;  // of its tensors, where a method has several: "gptq_v2", "gemm"
  int64_t bits = 4;
  int64_t group_inputs = 128;  // inputs that share a scale; 0: all of a row
  int64_t group_outputs = 1;   // outputs that share it
  int64_t scale_bytes = 2;
  bool zeros = false;      // a zero point beside each scale, as wide as a weight
  bool act_order = false;  // each input names its group, which are not consecutive
  bool head = false;       // the output head too
  // Modules left as they are: names, or after "re:" patterns as module_pattern.h knows them.
  std::vector<std::string> ignored;
};

// Bytes of the tensors in a checkpoint's files, by where in the chain they belong.
struct TensorBytes {
  int64_t embedding = 0;
  std::vector<int64_t> layers;
  int64_t head = 0;
};

struct ModelConfig {
  std::string architecture;  // model_type: "llama", "qwen2", "deepseek_v3", ...
  int64_t vocab_size = 0;
  int64_t hidden_dim = 0;
  int64_t intermediate_dim = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;            // even; need not be hidden_dim / num_heads
  int64_t max_context_tokens = 0;  // max_position_embeddings
  double rms_norm_epsilon = 1e-6;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tied_embeddings = false;  // the output head is the embedding table
  bool qkv_bias = false;
  bool output_bias = false;  // attention's o_proj (llama attention_bias)
  bool mlp_bias = false;
  enum class QkNorm { kNone, kPerHead, kWhole };
  QkNorm qk_norm = QkNorm::kNone;
  bool post_norms = false;  // after attention and MLP too, four in all
  std::optional<MixtureOfExperts> experts;
  std::optional<LatentAttention> latent_attention;
  std::optional<Quantization> quantization;
  // For models that no worker runs yet, where their files were seen.
  std::optional<TensorBytes> tensor_bytes;
  DType dtype = DType::kF32;     // of the weights, as declared; tensors decide
  std::vector<int32_t> eos_ids;  // generation_config.json's if there, else config.json's
  std::optional<int32_t> bos_id;
  // Why no worker's forward pass computes this model yet; empty: it does.
  std::string not_runnable;
};

// Sampling defaults from generation_config.json; unset where it says nothing (or do_sample is
// false: then temperature is 0).
struct GenerationDefaults {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
};

// Parses the text of a config.json, old form (rope_theta, torch_dtype, rope_scaling.type) or new
// (rope_parameters, dtype). What is returned can be planned; whether a worker can compute it says
// CheckRunnable.
// Errors: DataLoss (no JSON, a field missing, of the wrong type or out of range: names it);
// Unimplemented (unknown architecture, dtype or quantization: names it and lists what is known).
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view config_json);

// Errors: Unimplemented (a family, quantization, activation, rope type or sliding window that no
// worker's forward pass computes: names it).
absl::Status CheckRunnable(const ModelConfig& config);

// Parses generation_config.json; overrides `config`'s eos/bos ids where it names them.
// Errors: DataLoss.
absl::StatusOr<GenerationDefaults> ParseGenerationConfig(absl::string_view generation_config_json,
                                                         ModelConfig& config);

}  // namespace layercake
