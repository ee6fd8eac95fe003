#pragma once

// How weights, keys and values are stored. Plain, so that device code may include it.

#include <cstdint>

namespace layercake {

enum class DType { kF32, kF16, kBF16 };

// 4, 2, 2.
int64_t DTypeBytes(DType dtype);

}  // namespace layercake
