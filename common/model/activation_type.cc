#include "common/model/activation_type.h"

#include "absl/strings/str_cat.h"

namespace layercake {

absl::StatusOr<DType> ActivationDType(v1::ActivationType type) {
  switch (type) {
    case v1::ACTIVATION_TYPE_UNSPECIFIED:
    case v1::ACTIVATION_TYPE_F32:
      return DType::kF32;
    case v1::ACTIVATION_TYPE_BF16:
      return DType::kBF16;
    case v1::ACTIVATION_TYPE_F16:
      return DType::kF16;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("activation_type ", static_cast<int>(type),
                       " is not known to this version; known are f32, bf16 and f16"));
  }
}

v1::ActivationType ActivationTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return v1::ACTIVATION_TYPE_BF16;
    case DType::kF16:
      return v1::ACTIVATION_TYPE_F16;
    case DType::kF32:
      break;
  }
  return v1::ACTIVATION_TYPE_F32;
}

}  // namespace layercake
