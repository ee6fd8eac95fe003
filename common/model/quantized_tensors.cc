#include "common/model/quantized_tensors.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {

absl::StatusOr<QuantizedTensors> FindQuantizedTensors(const Checkpoint& checkpoint,
                                                      const std::string& module, int64_t outputs,
                                                      int64_t inputs) {
  const Quantization& format = *checkpoint.config().quantization;
  const int64_t per_word = 32 / format.bits;
  const bool packed = format.method == "compressed-tensors";
  const bool has_zeros = format.zeros || !packed;
  if (inputs % per_word != 0 || (has_zeros && outputs % per_word != 0)) {
    return absl::UnimplementedError(absl::StrCat(checkpoint.directory(), ": ", module, " is ",
                                                 outputs, " by ", inputs, ", which ", format.method,
                                                 " of ", format.bits, " bits cannot pack"));
  }
  const int64_t groups =
      format.group_inputs == 0 ? 1 : (inputs + format.group_inputs - 1) / format.group_inputs;
  QuantizedTensors tensors;
  const auto integers = [&](const char* name, std::vector<int64_t> shape, absl::string_view& to) {
    auto data = checkpoint.Integers(absl::StrCat(module, ".", name), shape);
    if (data.ok()) to = *data;
    return data.status();
  };
  const std::string scales = absl::StrCat(module, packed ? ".weight_scale" : ".scales");
  if (packed) {
    LC_RETURN_IF_ERROR(integers("weight_packed", {outputs, inputs / per_word}, tensors.weights));
    LC_ASSIGN_OR_RETURN(tensors.scales, checkpoint.Tensor(scales, {outputs, groups}));
  } else {
    const bool gptq = format.method == "gptq";
    LC_RETURN_IF_ERROR(integers("qweight",
                                gptq ? std::vector<int64_t>{inputs / per_word, outputs}
                                     : std::vector<int64_t>{inputs, outputs / per_word},
                                tensors.weights));
    LC_ASSIGN_OR_RETURN(tensors.scales, checkpoint.Tensor(scales, {groups, outputs}));
  }
  if (format.zeros) {
    LC_RETURN_IF_ERROR(
        packed ? integers("weight_zero_point", {outputs / per_word, groups}, tensors.zeros)
               : integers("qzeros", {groups, outputs / per_word}, tensors.zeros));
  }
  if (format.act_order) {
    LC_RETURN_IF_ERROR(integers(packed ? "weight_g_idx" : "g_idx", {inputs}, tensors.order));
  }
  if (tensors.scales.dtype == DType::kF32) {
    return absl::UnimplementedError(absl::StrCat(checkpoint.directory(), ": tensor ", scales,
                                                 " is f32; scales of f16 and bf16 are read"));
  }
  return tensors;
}

}  // namespace layercake
