#pragma once

// What a checkpoint's config.json says, in one form for every family and age of file.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

enum class DType { kF32, kF16, kBF16 };

// 4, 2, 2.
int64_t DTypeBytes(DType dtype);
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

struct ModelConfig {
  std::string architecture;  // "llama" or "qwen2"
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
  DType dtype = DType::kF32;     // of the weights, as declared; tensors decide
  std::vector<int32_t> eos_ids;  // generation_config.json's if there, else config.json's
  std::optional<int32_t> bos_id;
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
// (rope_parameters, dtype).
// Errors: DataLoss (no JSON, a field missing, of the wrong type or out of range: names it);
// Unimplemented (unknown architecture, activation or rope type, sliding window in use: names it and
// lists what is known).
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view config_json);

// Parses generation_config.json; overrides `config`'s eos/bos ids where it names them.
// Errors: DataLoss.
absl::StatusOr<GenerationDefaults> ParseGenerationConfig(absl::string_view generation_config_json,
                                                         ModelConfig& config);

}  // namespace layercake
