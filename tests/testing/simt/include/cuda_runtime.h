#pragma once

// CUDA C++ as plain C++: qualifiers, built-in variables, barriers, collectives of a warp, atomics
// and intrinsics, as far as the kernels use them. A kernel is an ordinary function here; RunGrid
// (block.h) calls it once per thread.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"
#include "tests/testing/simt/block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

inline constexpr int warpSize = 32;

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  layercake::simt::SyncThreads(false, file, line);
}
inline int __syncthreads_or(int predicate, const char* file = __builtin_FILE(),
                            int line = __builtin_LINE()) {
  return layercake::simt::SyncThreads(predicate != 0, file, line) > 0;
}
inline int __syncthreads_count(int predicate, const char* file = __builtin_FILE(),
                               int line = __builtin_LINE()) {
  return layercake::simt::SyncThreads(predicate != 0, file, line);
}
inline void __syncwarp(unsigned int mask = 0xffffffff, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  layercake::simt::WarpCollective(
      "__syncwarp", mask, nullptr, [](void* const*, uint32_t) { return std::string(); }, file,
      line);
}

namespace layercake::simt {

// Every lane gets what the lane it names brought.
template <typename T>
T Shuffle(const char* operation, unsigned int mask, T value, int source, const char* file,
          int line) {
  struct Payload {
    T value;
    int source;
    T result;
  } payload = {value, source, value};
  WarpCollective(
      operation, mask, &payload,
      [](void* const* payloads, uint32_t lanes) {
        for (int i = 0; i < 32; ++i) {
          if ((lanes >> i & 1) == 0) continue;
          auto* mine = static_cast<Payload*>(payloads[i]);
          if ((lanes >> mine->source & 1) == 0) {
            return "lane " + std::to_string(i) + " reads lane " + std::to_string(mine->source) +
                   ", which is not in the mask";
          }
          mine->result = static_cast<Payload*>(payloads[mine->source])->value;
        }
        return std::string();
      },
      file, line);
  return payload.result;
}

}  // namespace layercake::simt

template <typename T>
T __shfl_sync(unsigned int mask, T value, int source, int width = 32,
              const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int first = layercake::simt::CurrentLane() / width * width;
  return layercake::simt::Shuffle("__shfl_sync", mask, value, first + source % width, file, line);
}
template <typename T>
T __shfl_xor_sync(unsigned int mask, T value, int with, int width = 32,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int lane = layercake::simt::CurrentLane();
  const int other = lane ^ with;
  const int source = other / width > lane / width ? lane : other;
  return layercake::simt::Shuffle("__shfl_xor_sync", mask, value, source, file, line);
}
template <typename T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int by, int width = 32,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int lane = layercake::simt::CurrentLane();
  const int other = lane + static_cast<int>(by);
  const int source = other / width == lane / width ? other : lane;
  return layercake::simt::Shuffle("__shfl_down_sync", mask, value, source, file, line);
}

inline unsigned int __ballot_sync(unsigned int mask, int predicate,
                                  const char* file = __builtin_FILE(),
                                  int line = __builtin_LINE()) {
  struct Payload {
    bool predicate;
    unsigned int result;
  } payload = {predicate != 0, 0};
  layercake::simt::WarpCollective(
      "__ballot_sync", mask, &payload,
      [](void* const* payloads, uint32_t lanes) {
        unsigned int votes = 0;
        for (int i = 0; i < 32; ++i) {
          if ((lanes >> i & 1) == 0) continue;
          if (static_cast<Payload*>(payloads[i])->predicate) votes |= 1u << i;
        }
        for (int i = 0; i < 32; ++i) {
          if ((lanes >> i & 1) != 0) static_cast<Payload*>(payloads[i])->result = votes;
        }
        return std::string();
      },
      file, line);
  return payload.result;
}
inline int __any_sync(unsigned int mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned int mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}

// Threads give way at barriers only, so these are whole.
template <typename T>
T atomicAdd(T* to, std::type_identity_t<T> value) {
  return std::exchange(*to, *to + value);
}
template <typename T>
T atomicMax(T* to, std::type_identity_t<T> value) {
  return std::exchange(*to, std::max(*to, value));
}
template <typename T>
T atomicCAS(T* to, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return *to == expected ? std::exchange(*to, value) : *to;
}
inline int __popc(unsigned int bits) { return std::popcount(bits); }

inline void __threadfence() {}

template <typename T>
T __ldg(const T* from) {
  return *from;
}
// Four of the eight bytes of `y` and `x`, as the selector's digits say.
inline unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned int picked = 0;
  for (int i = 0; i < 4; ++i) {
    picked |= static_cast<unsigned int>(bytes >> ((selector >> (4 * i) & 7) * 8) & 0xff) << (8 * i);
  }
  return picked;
}
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned int bits) { return std::bit_cast<float>(bits); }
inline unsigned int __float_as_uint(float x) { return std::bit_cast<unsigned int>(x); }

namespace layercake::simt {

// Of any kernel: all are there for the device, or none.
cudaError_t AskCode(cudaFuncAttributes* attributes);

// Queues a grid in a stream.
cudaError_t Enqueue(const cudaLaunchConfig_t& config, const char* kernel,
                    std::function<void()> body);

}  // namespace layercake::simt

template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  return layercake::simt::AskCode(attributes);
}
