#pragma once

// worker/kernels/simt.cuh for the emulation; the contracts are there.

#include <cuda_runtime.h>

#include <bit>
#include <tuple>
#include <utility>

#include "worker/kernels/numbers.h"

namespace layercake {

template <typename... Parameters, typename... Arguments>
cudaError_t Launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  std::tuple<std::remove_cv_t<Parameters>...> bound(std::forward<Arguments>(arguments)...);
  return simt::Enqueue({grid, block, shared_bytes, stream, nullptr, 0}, name,
                       [kernel, bound] { std::apply(kernel, bound); });
}

template <typename T>
T& SharedAs() {
  return *static_cast<T*>(simt::SharedMemory());
}

inline float HalfBitsToFloat(uint16_t bits) { return ToFloat(Half{bits}); }
inline uint16_t FloatToHalfBits(float x) { return ToHalf(x).bits; }

inline uint32_t MaskAndSet(uint32_t x, uint32_t mask, uint32_t bits) { return (x & mask) | bits; }

inline int DotBytes(uint32_t a, uint32_t b, int sum) {
  for (int shift = 0; shift < 32; shift += 8) {
    sum += static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift);
  }
  return sum;
}

template <int kBytes>
void CopyAsync(void* shared, const void* global, bool holds) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  simt::BeginCopy(shared, global, kBytes, holds);
}
inline void EndCopies() { simt::EndCopyGroup(); }
template <int kLeft>
void WaitForCopies() {
  simt::FinishCopies(kLeft);
}

inline uint32_t PackBF16(float low, float high) {
  return ToBFloat16(low).bits | static_cast<uint32_t>(ToBFloat16(high).bits) << 16;
}
inline float LowBF16(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
inline float HighBF16(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }
inline uint32_t SubtractBF16(uint32_t a, uint32_t b) {
  return PackBF16(LowBF16(a) - LowBF16(b), HighBF16(a) - HighBF16(b));
}

inline uint32_t PackF16(float low, float high) {
  return ToHalf(low).bits | static_cast<uint32_t>(ToHalf(high).bits) << 16;
}
inline float LowF16(uint32_t pair) { return HalfBitsToFloat(static_cast<uint16_t>(pair)); }
inline float HighF16(uint32_t pair) { return HalfBitsToFloat(static_cast<uint16_t>(pair >> 16)); }

// Sums in double, rounded once; what a card's tensor cores round in between is not specified.
template <float (*kLow)(uint32_t), float (*kHigh)(uint32_t)>
void MultiplyAddTiles(const uint32_t* a, const uint32_t* b, float* d, const char* file, int line) {
  struct Payload {
    const uint32_t* a;
    const uint32_t* b;
    float* d;
  } payload = {a, b, d};
  simt::WarpCollective(
      "mma.m16n8k16", 0xffffffff, &payload,
      [](void* const* payloads, uint32_t) {
        float left[16][16];
        float right[16][8];
        for (int lane = 0; lane < 32; ++lane) {
          const auto* part = static_cast<const Payload*>(payloads[lane]);
          const int group = lane / 4;
          const int k = lane % 4 * 2;
          for (int i = 0; i < 4; ++i) {
            float* const to = &left[group + i % 2 * 8][k + i / 2 * 8];
            to[0] = kLow(part->a[i]);
            to[1] = kHigh(part->a[i]);
          }
          for (int i = 0; i < 2; ++i) {
            right[k + i * 8][group] = kLow(part->b[i]);
            right[k + i * 8 + 1][group] = kHigh(part->b[i]);
          }
        }
        for (int lane = 0; lane < 32; ++lane) {
          float* const sums = static_cast<Payload*>(payloads[lane])->d;
          for (int i = 0; i < 4; ++i) {
            double sum = sums[i];
            for (int k = 0; k < 16; ++k) {
              sum += double{left[lane / 4 + i / 2 * 8][k]} * right[k][lane % 4 * 2 + i % 2];
            }
            sums[i] = static_cast<float>(sum);
          }
        }
        return std::string();
      },
      file, line);
}

inline void MultiplyAddBF16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&d)[4],
                            const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  MultiplyAddTiles<LowBF16, HighBF16>(a, b, d, file, line);
}
inline void MultiplyAddF16(const uint4& a, const uint32_t (&b)[2], float (&d)[4],
                           const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const uint32_t words[4] = {a.x, a.y, a.z, a.w};
  MultiplyAddTiles<LowF16, HighF16>(words, b, d, file, line);
}

}  // namespace layercake
