#include "worker/service/load_request.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/activation_type.h"

namespace layercake {

absl::StatusOr<StageShape> ReadLoadRequest(const v1::LoadStageRequest& request,
                                           const ModelConfig& config) {
  const v1::StagePlan& stage = request.stage();
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"stage.num_blocks", stage.num_blocks()},
           {"block_size_tokens", request.block_size_tokens()},
           {"max_batch_sequences", request.max_batch_sequences()},
           {"max_step_tokens", request.max_step_tokens()},
           {"max_context_tokens", request.max_context_tokens()}}) {
    if (value < 1) {
      return absl::InvalidArgumentError(absl::StrCat(name, " must be at least 1, got ", value));
    }
  }
  StageShape shape;
  shape.range = {stage.first_layer(), stage.num_layers(), stage.has_embedding(), stage.has_head()};
  const int64_t end = shape.range.first_layer + shape.range.num_layers;
  if (shape.range.first_layer < 0 || shape.range.num_layers < 0 || end > config.num_layers ||
      (shape.range.has_embedding && shape.range.first_layer != 0) ||
      (shape.range.has_head && end != config.num_layers)) {
    return absl::InvalidArgumentError(absl::StrCat(
        DescribeStage(shape), " do not make a stage of a model of ", config.num_layers, " layers"));
  }
  if (request.max_context_tokens() > config.max_context_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("a context of ", request.max_context_tokens(),
                                                   " tokens is longer than the model's ",
                                                   config.max_context_tokens));
  }
  if (!shape.range.has_head && request.next_address().empty()) {
    return absl::InvalidArgumentError("next_address is empty, but this is not the last stage");
  }
  const bool f32 = request.kv_type() == v1::KV_TYPE_F32 ||
                   (request.kv_type() == v1::KV_TYPE_UNSPECIFIED && config.dtype == DType::kF32);
  LC_ASSIGN_OR_RETURN(const DType activation_dtype, ActivationDType(request.activation_type()));
  shape.limits = {.max_step_tokens = request.max_step_tokens(),
                  .max_batch_sequences = request.max_batch_sequences(),
                  .max_context_tokens = request.max_context_tokens(),
                  .block_size_tokens = request.block_size_tokens(),
                  .kv_dtype = f32 ? DType::kF32 : DType::kF16,
                  .activation_dtype = activation_dtype};
  shape.num_blocks = stage.num_blocks();
  return shape;
}

std::string DescribeStage(const StageShape& shape) {
  const LayerRange& range = shape.range;
  const std::string layers = range.num_layers == 0
                                 ? "no layers"
                                 : absl::StrCat("layers ", range.first_layer, "-",
                                                range.first_layer + range.num_layers - 1);
  return absl::StrCat(layers, range.has_embedding ? " with the embedding" : "",
                      range.has_head ? " with the head" : "");
}

}  // namespace layercake
