#pragma once

// Arrays of numbers from one storage type to another.

#include <cstdint>

#include "common/model/config.h"
#include "worker/device/device.h"

namespace layercake {

// Copies `count` numbers, through f32 where the types differ (rounding to nearest, ties to even).
//   from: of any alignment, little-endian.   to: aligned to its type.
void ConvertNumbers(const void* from, DType from_dtype, int64_t count, void* to, DType to_dtype);

// The same in the device's memory, `from` aligned to its type too. What fails is in its status().
void ConvertNumbers(const void* from, DType from_dtype, int64_t count, void* to, DType to_dtype,
                    Device& device);

}  // namespace layercake
