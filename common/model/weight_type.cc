#include "common/model/weight_type.h"

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"

namespace layercake {
namespace {

constexpr int64_t kGroupInputs = 128;

Quantization Groups(int64_t bits) {
  return {.method = kOurGroups, .bits = bits, .group_inputs = kGroupInputs, .zeros = bits == 4};
}

}  // namespace

std::string WeightTypeName(v1::WeightType type) {
  switch (type) {
    case v1::WEIGHT_TYPE_AUTO:
      return "auto";
    case v1::WEIGHT_TYPE_F32:
      return "f32";
    case v1::WEIGHT_TYPE_BF16:
      return "bf16";
    case v1::WEIGHT_TYPE_F16:
      return "f16";
    case v1::WEIGHT_TYPE_INT8:
      return "int8";
    case v1::WEIGHT_TYPE_INT4:
      return "int4";
    default:
      return "as it is";
  }
}

v1::WeightType WeightTypeOf(const ModelConfig& model) {
  if (model.quantization) {
    if (model.quantization->method != kOurGroups) return v1::WEIGHT_TYPE_UNSPECIFIED;
    return model.quantization->bits == 8 ? v1::WEIGHT_TYPE_INT8 : v1::WEIGHT_TYPE_INT4;
  }
  switch (model.dtype) {
    case DType::kF32:
      return v1::WEIGHT_TYPE_F32;
    case DType::kF16:
      return v1::WEIGHT_TYPE_F16;
    default:
      return v1::WEIGHT_TYPE_BF16;
  }
}

ModelConfig WithWeightType(const ModelConfig& model, v1::WeightType type) {
  CHECK_NE(type, v1::WEIGHT_TYPE_AUTO);
  if (type == v1::WEIGHT_TYPE_UNSPECIFIED || type == WeightTypeOf(model)) return model;
  ModelConfig held = model;
  held.quantization.reset();
  held.tensor_bytes.reset();
  switch (type) {
    case v1::WEIGHT_TYPE_F32:
      held.dtype = DType::kF32;
      break;
    case v1::WEIGHT_TYPE_F16:
      held.dtype = DType::kF16;
      break;
    case v1::WEIGHT_TYPE_BF16:
      held.dtype = DType::kBF16;
      break;
    default:
      held.quantization = Groups(type == v1::WEIGHT_TYPE_INT8 ? 8 : 4);
      if (held.dtype == DType::kF32) held.dtype = DType::kBF16;
  }
  return held;
}

absl::Status CheckMakeable(const ModelConfig& checkpoint, v1::WeightType type) {
  const v1::WeightType own = WeightTypeOf(checkpoint);
  if (type == v1::WEIGHT_TYPE_UNSPECIFIED || type == own) return absl::OkStatus();
  if (!checkpoint.quantization) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(
      "the plan holds weights as ", WeightTypeName(type), ", but the checkpoint's are ",
      checkpoint.quantization->method, " of ", checkpoint.quantization->bits,
      " bits, which workers hold as they are; load without --weights, or from a "
      "checkpoint that is not quantized"));
}

}  // namespace layercake
