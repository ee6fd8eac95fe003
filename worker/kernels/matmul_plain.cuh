#pragma once

// What the plain product's kernels agree on, for few rows and for many. Private to matmul_cuda.cu
// and matmul_tile_cuda.cu.

#include "common/model/packing.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/simt.cuh"

namespace layercake {

// An element is the sum of kChains chains: chain c adds x[k] * w[k] for kRun neighbouring inputs
// from k = c * kRun on, then for those kChains * kRun further on, ..., and the chains are added in
// order. It is so whatever the rows and the blocks' shape. Neighbours are of one group of integers,
// whose scales take many instructions to get. An input that is not there may be added as 0 times a
// weight of 0 to the end of a chain: that can change the sign of a zero alone, and a sum of chains
// begins at 0.
inline constexpr int kChains = 64;
inline constexpr int kRun = 8;

// Neighbouring bytes of a row of integers. Of 4 bits, a byte holds outputs half a panel apart.
template <int kBits, int kBytes>
struct Integers {
  static constexpr int kOutputs = kBytes * 8 / kBits;
  static constexpr int kRowBytes = kPanelOutputs * kBits / 8;
  static constexpr int kPartBytes = kBytes;

  // The output of the o-th integer of a row's `place`-th such bytes. All are neighbours of 8 bits;
  // of 4 bits the first kBytes are, and the others those half a panel on.
  __device__ static int OutputOf(int place, int o) {
    if (kBits == 8) return place * kOutputs + o;
    return place * kBytes + o % kBytes + o / kBytes * (kPanelOutputs / 2);
  }
  __device__ void Load(const uint8_t* from) {
    if constexpr (kBytes == 2) {
      words[0] = __ldg(reinterpret_cast<const uint16_t*>(from));
    } else {
#pragma unroll
      for (int i = 0; i < kBytes / 4; ++i) {
        words[i] = __ldg(reinterpret_cast<const unsigned int*>(from) + i);
      }
    }
  }
  // 2^(kBits - 1) everywhere, the zeros of formats that store none.
  __device__ static Integers Middle() {
    Integers all;
    for (unsigned int& word : all.words) word = kBits == 8 ? 0x80808080 : 0x88888888;
    return all;
  }
  // 2^23 + integer, whose bits are at hand: conversions are slow on every card.
  __device__ float Raised(int o) const {
    const unsigned int bits = kBits == 8 ? words[o / 4] >> (o % 4 * 8) & 0xff
                                         : words[0] >> (o % kBytes * 8 + o / kBytes * 4) & 0xf;
    return __uint_as_float(kRaise | bits);
  }

  static constexpr unsigned int kRaise = 0x4b000000;
  unsigned int words[kBytes < 4 ? 1 : kBytes / 4];
};

// Of an output's group of inputs.
struct Scaling {
  __device__ void Set(uint16_t bits, DType dtype, float raised_zero) {
    scale = dtype == DType::kF16 ? Widen(F16Bits{bits}) : Widen(BF16Bits{bits});
    zero = raised_zero;
  }
  // Exactly scale * (integer - zero).
  __device__ float Weight(float raised_integer) const { return (raised_integer - zero) * scale; }

  float scale;
  float zero;
};

// Whether rows are many enough to be better multiplied by tiles, with the same result.
bool SuitsTiles(const MatMulArgs& args);
// REQUIRES: groups of integers are of at least kRun inputs.
int MatMulTileCuda(const MatMulArgs& args, CUstream_st* stream);

}  // namespace layercake
