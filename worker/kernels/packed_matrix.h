#pragma once

// A weight matrix in the layout that its kernels want. Opaque: only this room looks inside.

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/model/config.h"
#include "common/model/costs.h"
#include "worker/device/device.h"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/quantized_rows.h"

namespace layercake {

// [outputs, inputs], in panels of kPanelOutputs outputs: [panel][input][kPanelOutputs], so that a
// product reads one stream from end to end. Outputs that pad the last panel are zero. The weights
// are floating-point numbers of one type, or integers in groups along the inputs (GroupedWeights).
// Movable. Packing is one thread's; packed, it is immutable.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  // Takes PackedMatrixBytes(outputs, inputs, dtype) bytes, all zero; `purpose` names them in
  // errors. Errors: ResourceExhausted.
  static absl::StatusOr<PackedMatrix> Create(int64_t outputs, int64_t inputs, DType dtype,
                                             Device& device, absl::string_view purpose);

  // The same of integers in `format`: takes QuantizedMatrixBytes(outputs, inputs, format) bytes.
  // REQUIRES: 4 or 8 bits; groups of a power of two inputs, or of all; scale_dtype is f16 or bf16.
  static absl::StatusOr<PackedMatrix> CreateQuantized(int64_t outputs, int64_t inputs,
                                                      const Quantization& format, DType scale_dtype,
                                                      Device& device, absl::string_view purpose);

  // Packs all of a quantized matrix. `order`: for a format with act_order, which input each place
  // in the rows is of; else empty. Errors: as rows.Read(); the device's status().
  absl::Status PackQuantized(const QuantizedRows& rows, std::span<const int32_t> order,
                             Device& device);

  // Packs `rows` rows of a row-major matrix as outputs [first_output, first_output + rows).
  //   source: [rows, inputs] of `source_dtype`, little-endian, of any alignment. Equal dtypes are
  //   copied exactly; others go through f32 and are rounded to nearest.
  // On a CUDA device, `source` may be reused at once; what fails is in the device's status().
  // REQUIRES: the outputs are within the matrix.
  void PackRows(int64_t first_output, int64_t rows, const void* source, DType source_dtype,
                Device& device);

  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }
  // Of floating-point weights; of integers, the scales'.
  DType dtype() const { return dtype_; }
  // Of integers; else `bits` is 0.
  const GroupedWeights& grouped() const { return grouped_; }
  int64_t bytes() const {
    return data_.bytes() + scales_.bytes() + zeros_.bytes() + order_.bytes();
  }
  const void* panels() const { return data_.data(); }
  int64_t num_panels() const { return NumPanels(outputs_); }

 private:
  void PackOnCuda(int64_t first_output, int64_t rows, const void* source, DType source_dtype,
                  Device& device);

  int64_t outputs_ = 0;
  int64_t inputs_ = 0;
  DType dtype_ = DType::kF32;
  GroupedWeights grouped_;  // points into the buffers
  Buffer data_;
  Buffer scales_;
  Buffer zeros_;
  Buffer order_;
};

}  // namespace layercake
