#pragma once

// From a DType at run time to a C++ type. Private to this room.

#include "common/model/config.h"
#include "worker/kernels/numbers.h"

namespace layercake {

inline float Narrow(float x, float) { return x; }
inline Half Narrow(float x, Half) { return ToHalf(x); }
inline BFloat16 Narrow(float x, BFloat16) { return ToBFloat16(x); }

// f(float{}), f(Half{}) or f(BFloat16{}).
template <typename F>
void WithType(DType dtype, F f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kF16:
      return f(Half{});
    case DType::kBF16:
      return f(BFloat16{});
  }
}

}  // namespace layercake
