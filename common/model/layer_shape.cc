#include "common/model/layer_shape.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/model/module_pattern.h"

namespace layercake {
namespace {

using QkNorm = ModelConfig::QkNorm;

void AddLatentAttention(const ModelConfig& config, LayerShape& shape) {
  const LatentAttention& latent = *config.latent_attention;
  const int64_t heads = config.num_heads;
  const int64_t queries = heads * (latent.nope_dim + latent.rope_dim);
  const int64_t compressed = latent.kv_rank + latent.rope_dim;
  if (latent.query_rank > 0) {
    shape.matrices.push_back(
        {"self_attn.q_a_proj", latent.query_rank, config.hidden_dim, config.qkv_bias});
    shape.matrices.push_back({"self_attn.q_b_proj", queries, latent.query_rank});
    shape.vectors.push_back(latent.query_rank);
  } else {
    shape.matrices.push_back({"self_attn.q_proj", queries, config.hidden_dim});
  }
  shape.matrices.push_back(
      {"self_attn.kv_a_proj_with_mqa", compressed, config.hidden_dim, config.qkv_bias});
  shape.matrices.push_back(
      {"self_attn.kv_b_proj", heads * (latent.nope_dim + latent.value_dim), latent.kv_rank});
  shape.matrices.push_back(
      {"self_attn.o_proj", config.hidden_dim, heads * latent.value_dim, config.output_bias});
  shape.vectors.push_back(latent.kv_rank);
}

void AddAttention(const ModelConfig& config, LayerShape& shape) {
  const int64_t queries = config.num_heads * config.head_dim;
  const int64_t keys = config.num_kv_heads * config.head_dim;
  shape.matrices.push_back(
      {"self_attn.q_proj", queries + 2 * keys, config.hidden_dim, config.qkv_bias});
  shape.matrices.push_back({"self_attn.o_proj", config.hidden_dim, queries, config.output_bias});
  if (config.qk_norm == QkNorm::kPerHead) {
    shape.vectors.insert(shape.vectors.end(), {config.head_dim, config.head_dim});
  } else if (config.qk_norm == QkNorm::kWhole) {
    shape.vectors.insert(shape.vectors.end(), {queries, keys});
  }
}

void AddExperts(const ModelConfig& config, LayerShape& shape) {
  const MixtureOfExperts& experts = *config.experts;
  const int64_t hidden = config.hidden_dim;
  shape.matrices.push_back({.module = absl::StrCat(experts.module, "gate"),
                            .outputs = experts.num_experts,
                            .inputs = hidden,
                            .quantizable = false});
  if (experts.routing_bias) shape.vectors.push_back(experts.num_experts);
  if (experts.shared_dim > 0) {
    shape.matrices.push_back({"mlp.shared_experts.gate_proj", 2 * experts.shared_dim, hidden});
    shape.matrices.push_back({"mlp.shared_experts.down_proj", hidden, experts.shared_dim});
  }
  const std::string first = absl::StrCat(experts.module, "experts.0.");
  shape.expert.push_back({first + experts.gate_proj, 2 * experts.expert_dim, hidden});
  shape.expert.push_back({first + experts.down_proj, hidden, experts.expert_dim});
}

}  // namespace

LayerShape ShapeOfLayer(const ModelConfig& config, int64_t layer) {
  LayerShape shape;
  shape.vectors.assign(config.post_norms ? 4 : 2, config.hidden_dim);
  if (config.latent_attention) {
    AddLatentAttention(config, shape);
  } else {
    AddAttention(config, shape);
  }
  if (HasExperts(config, layer)) {
    AddExperts(config, shape);
  } else {
    shape.matrices.push_back(
        {"mlp.gate_proj", 2 * config.intermediate_dim, config.hidden_dim, config.mlp_bias});
    shape.matrices.push_back(
        {"mlp.down_proj", config.hidden_dim, config.intermediate_dim, config.mlp_bias});
  }
  return shape;
}

bool HasExperts(const ModelConfig& config, int64_t layer) {
  return config.experts && config.experts->in_layer[static_cast<size_t>(layer)];
}

bool IsQuantized(const ModelConfig& config, int64_t layer, const MatrixShape& shape) {
  if (!config.quantization || !shape.quantizable) return false;
  const std::vector<std::string>& ignored = config.quantization->ignored;
  if (ignored.empty()) return true;
  const std::string name = absl::StrCat("model.layers.", layer, ".", shape.module);
  return std::none_of(ignored.begin(), ignored.end(),
                      [&name](const std::string& pattern) { return MatchesModule(pattern, name); });
}

}  // namespace layercake
