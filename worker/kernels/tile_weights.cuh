#pragma once

// The weights of a plain product of many rows, on their way to shared memory. Private to
// matmul_tile_cuda.cu.

#include "common/model/packing.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/matmul_plain.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {

inline constexpr int kWarpRows = 32;  // of a tile, each warp's
inline constexpr int kVector = 4;     // numbers that are read or stored at once
inline constexpr int kPanel = static_cast<int>(kPanelOutputs);

// A run of inputs in shared memory. Four more rows, so that the inputs of a row that two threads
// store are of different banks.
template <int kWarps>
struct Tile {
  float x[kRun][kWarps * kWarpRows + kVector];
  float weights[kRun][kPanelOutputs];
};

// On their way to shared memory, x and weights are in registers, as they are stored, while the run
// before is multiplied. What reads them goes from run to run by steps of so many inputs.

// Of a run of weights, a thread takes four outputs of kCount inputs.
template <int kWarps>
struct Shares {
  static constexpr int kPlaces = kPanel / kVector;
  static constexpr int kApart = kWarps * kWarpLanes / kPlaces;  // inputs
  static constexpr int kCount = kRun / kApart;

  __device__ static int Place() { return static_cast<int>(threadIdx.x) % kPlaces; }
  __device__ static int FirstInput() { return static_cast<int>(threadIdx.x) / kPlaces; }
};

template <typename T, int kWarps>
struct DenseTile {
  using Share = Shares<kWarps>;
  struct alignas(kVector * sizeof(T)) Four {
    T values[kVector];
  };
  struct Loaded {
    Four at[Share::kCount];
  };

  __device__ DenseTile(const MatMulArgs& args, int64_t panel)
      : from(static_cast<const T*>(args.weights) +
             (args.first_panel + panel) * kPanelOutputs * args.inputs +
             Share::FirstInput() * kPanel + Share::Place() * kVector),
        left(static_cast<int>(args.inputs) - Share::FirstInput()) {}
  __device__ void Go(int step) {
    left -= step;
    from += int64_t{step} * kPanel;
  }
  __device__ void Load(Loaded& loaded) const {
#pragma unroll
    for (int i = 0; i < Share::kCount; ++i) {
      const int input = i * Share::kApart;
      loaded.at[i] = {};
      if (input < left) loaded.at[i] = *reinterpret_cast<const Four*>(from + input * kPanel);
    }
  }
  __device__ static void Store(const Loaded& loaded, Tile<kWarps>& tile) {
#pragma unroll
    for (int i = 0; i < Share::kCount; ++i) {
      const T(&four)[kVector] = loaded.at[i].values;
      *reinterpret_cast<float4*>(
          &tile.weights[Share::FirstInput() + i * Share::kApart][Share::Place() * kVector]) =
          float4{Widen(four[0]), Widen(four[1]), Widen(four[2]), Widen(four[3])};
    }
  }

  const T* from;
  int left;  // inputs from here on
};

template <int kBits, int kWarps>
struct IntegerTile {
  using Share = Shares<kWarps>;
  using Four = Integers<kBits, kVector * kBits / 8>;
  struct Loaded {
    Four at[Share::kCount];
    Four zeros;
    unsigned int scales[2];  // of two neighbouring outputs each
  };

  __device__ IntegerTile(const MatMulArgs& args, int64_t panel)
      : from(static_cast<const uint8_t*>(args.weights) +
             ((args.first_panel + panel) * args.inputs + Share::FirstInput()) * Four::kRowBytes +
             Share::Place() * Four::kPartBytes),
        zeros(args.grouped.zeros),
        scales(static_cast<const uint16_t*>(args.grouped.scales)),
        left(static_cast<int>(args.inputs) - Share::FirstInput()),
        group_shift(args.grouped.group_shift < 31 ? args.grouped.group_shift : 31),
        scale_dtype(args.grouped.scale_dtype) {
    const int64_t first_group = (args.first_panel + panel) * args.grouped.groups;
    scales += first_group * kPanelOutputs + Four::OutputOf(Share::Place(), 0);
    if (zeros != nullptr) {
      zeros += first_group * Four::kRowBytes + Share::Place() * Four::kPartBytes;
    }
  }
  __device__ void Go(int step) {
    left -= step;
    run += step;
    from += int64_t{step} * Four::kRowBytes;
  }
  __device__ void Load(Loaded& loaded) const {
#pragma unroll
    for (int i = 0; i < Share::kCount; ++i) {
      const int input = i * Share::kApart;
      loaded.at[i] = {};
      if (input < left) loaded.at[i].Load(from + input * Four::kRowBytes);
    }
    const int64_t group = run >> group_shift;
    const uint16_t* const scale = scales + group * kPanel;
    loaded.scales[0] = __ldg(reinterpret_cast<const unsigned int*>(scale));
    loaded.scales[1] = __ldg(reinterpret_cast<const unsigned int*>(scale + Four::OutputOf(0, 2)));
    loaded.zeros = Four::Middle();
    if (zeros != nullptr) loaded.zeros.Load(zeros + group * Four::kRowBytes);
  }
  __device__ void Store(const Loaded& loaded, Tile<kWarps>& tile) const {
    Scaling scaling[kVector];
#pragma unroll
    for (int o = 0; o < kVector; ++o) {
      scaling[o].Set(static_cast<uint16_t>(loaded.scales[o / 2] >> (o % 2 * 16)), scale_dtype,
                     loaded.zeros.Raised(o));
    }
#pragma unroll
    for (int i = 0; i < Share::kCount; ++i) {
      const int input = i * Share::kApart;
      float* const row = tile.weights[Share::FirstInput() + input];
      // A scale may be infinite, so that an integer of 0 where the inputs end is no weight of 0.
      const auto weight = [&](int o) {
        return input < left ? scaling[o].Weight(loaded.at[i].Raised(o)) : 0.0f;
      };
#pragma unroll
      for (int o = 0; o < kVector; o += 2) {
        *reinterpret_cast<float2*>(row + Four::OutputOf(Share::Place(), o)) =
            float2{weight(o), weight(o + 1)};
      }
    }
  }

  const uint8_t* from;
  const uint8_t* zeros;
  const uint16_t* scales;
  int left;     // inputs from here on
  int run = 0;  // its first input
  int group_shift;
  DType scale_dtype;
};

}  // namespace layercake
