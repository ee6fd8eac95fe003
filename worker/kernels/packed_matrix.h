#pragma once

// A weight matrix in the layout that its kernels want. Opaque: only this room looks inside.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/config.h"
#include "common/model/costs.h"
#include "worker/device/device.h"

namespace layercake {

// [outputs, inputs], in panels of kPanelOutputs outputs: [panel][input][kPanelOutputs], so that a
// product reads one stream from end to end. Outputs that pad the last panel are zero.
// Movable. Packing is one thread's; packed, it is immutable.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  // Takes PackedMatrixBytes(outputs, inputs, dtype) bytes, all zero; `purpose` names them in
  // errors. Errors: ResourceExhausted.
  static absl::StatusOr<PackedMatrix> Create(int64_t outputs, int64_t inputs, DType dtype,
                                             Device& device, absl::string_view purpose);

  // Packs `rows` rows of a row-major matrix as outputs [first_output, first_output + rows).
  //   source: [rows, inputs] of `source_dtype`, little-endian, of any alignment. Equal dtypes are
  //   copied exactly; others go through f32 and are rounded to nearest.
  // On a CUDA device, `source` may be reused at once; what fails is in the device's status().
  // REQUIRES: the outputs are within the matrix.
  void PackRows(int64_t first_output, int64_t rows, const void* source, DType source_dtype,
                Device& device);

  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }
  DType dtype() const { return dtype_; }
  int64_t bytes() const { return data_.bytes(); }
  const void* panels() const { return data_.data(); }
  int64_t num_panels() const { return (outputs_ + kPanelOutputs - 1) / kPanelOutputs; }

 private:
  void PackOnCuda(int64_t first_output, int64_t rows, const void* source, DType source_dtype,
                  Device& device);

  int64_t outputs_ = 0;
  int64_t inputs_ = 0;
  DType dtype_ = DType::kF32;
  Buffer data_;
};

}  // namespace layercake
