#pragma once

// Products that a library does. Private to this room.

#include "worker/device/device.h"
#include "worker/kernels/kernel_args.h"

namespace layercake {

// MatMul's product of floating-point weights by the device's cuBLASLt, if it has one and rows are
// many; with x as two numbers of the weights' 16 bits, of which f16's share a scale: to 2^-17 of
// itself for bf16, for f16 to 2^-22 of itself or 2^-38 of the largest. A row that has a number
// which is not finite is NaN. False: it is for the kernels to do, all of it.
bool MultiplyByCublasLt(const MatMulArgs& args, Device& device);

}  // namespace layercake
