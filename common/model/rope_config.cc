#include "common/model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();

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

}  // namespace

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
  const bool mistral = config.architecture == "mistral";  // there a window is used if it is given
  const bool qwen = config.architecture == "qwen2" || config.architecture == "qwen3";
  if (!mistral && !(qwen && fields.Bool("use_sliding_window", false))) return fields.status();
  const int64_t window = fields.Int("sliding_window", 0, kMaxId, kMaxId);
  if (window >= config.max_context_tokens) return fields.status();
  int64_t windowed = 0;
  if (const json* types = fields.Find("layer_types"); types != nullptr && types->is_array()) {
    for (const json& type : *types) windowed += type == "sliding_attention";
  } else if (mistral) {
    windowed = config.num_layers;
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

}  // namespace layercake
