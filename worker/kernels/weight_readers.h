#pragma once

// How tiles of matmul_loops.h read the weights of a panel, whatever their format. For variant_*.cc
// only.

#include <cstdint>

#include "common/model/packing.h"
#include "worker/kernels/kernel_args.h"
#include "worker/kernels/numbers.h"

namespace layercake {

template <class V>
struct WeightReaders {
  static constexpr int kPanel = kPanelOutputs;
  static constexpr int kPanelVectors = kPanel / 16;
  // A tile has at most so many rows of inputs.
  static constexpr int kMaxRows = 6;

  // Rows of weights that a tile takes one after another: `Columns` are its own columns of them.
  template <class W>
  struct Dense {
    static constexpr int kRowBytes = kPanel * static_cast<int>(sizeof(W));
    static constexpr int kHeld = 0;
    static constexpr int kFewRows = kMaxRows;
    const W* rows;

    template <int kVectors>
    struct Columns {
      const W* row;
      Columns(const Dense& from, int first) : row(from.rows + first) {}
      void Load(V (&loaded)[kVectors]) const {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) loaded[j] = V::Load(row + j * 16);
      }
      void Next() { row += kPanel; }
    };
    // All inputs are one run.
    static int64_t RunEnd(const MatMulArgs& args, int64_t) { return args.inputs; }
    static Dense At(const MatMulArgs& args, int64_t panel, int64_t k) {
      return {static_cast<const W*>(args.weights) +
              ((args.first_panel + panel) * args.inputs + k) * kPanel};
    }
  };

  // Of one group: q * scale - zero * scale in f32 is exactly the weight.
  template <int kBits>
  struct Grouped {
    static constexpr int kRowBytes = kPanel * kBits / 8;
    static constexpr int kHeld = 1;  // two, of which one may as well be read from memory
    // Four bits are costly to take apart more than once: more rows widen a block first.
    static constexpr int kFewRows = kBits == 8 ? kMaxRows : 1;
    const uint8_t* rows;
    const GroupedWeights* format;
    int64_t group;  // of all panels' groups

    static V Integers(const uint8_t* row, int column) {
      if constexpr (kBits == 8) return V::LoadBytes(row + column);
      V low, high;
      V::LoadNibbles(row + column % 32, low, high);
      return column < 32 ? low : high;
    }
    V Scales(int column) const {
      const int64_t at = group * kPanel + column;
      return format->scale_dtype == DType::kF16
                 ? V::Load(static_cast<const Half*>(format->scales) + at)
                 : V::Load(static_cast<const BFloat16*>(format->scales) + at);
    }
    V Zeros(int column) const {
      return format->zeros == nullptr ? V::Broadcast(1 << (kBits - 1))
                                      : Integers(format->zeros + group * kRowBytes, column);
    }

    template <int kVectors>
    struct Columns {
      const uint8_t* row;
      const int first;
      V scales[kVectors], offsets[kVectors];
      Columns(const Grouped& from, int first_column) : row(from.rows), first(first_column) {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
          scales[j] = from.Scales(first + j * 16);
          offsets[j] = V::Broadcast(0) - from.Zeros(first + j * 16) * scales[j];
        }
      }
      void Load(V (&loaded)[kVectors]) const {
        if constexpr (kBits == 4 && kVectors == kPanelVectors) {
          V::LoadNibbles(row, loaded[0], loaded[2]);
          V::LoadNibbles(row + 16, loaded[1], loaded[3]);
        } else {
#pragma GCC unroll 4
          for (int j = 0; j < kVectors; ++j) loaded[j] = Integers(row, first + j * 16);
        }
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) loaded[j] = V::Fma(loaded[j], scales[j], offsets[j]);
      }
      void Next() { row += kRowBytes; }
    };
    static int64_t RunEnd(const MatMulArgs& args, int64_t k) {
      const int64_t end = ((k >> args.grouped.group_shift) + 1) << args.grouped.group_shift;
      return end < args.inputs ? end : args.inputs;
    }
    static Grouped At(const MatMulArgs& args, int64_t panel, int64_t k) {
      const int64_t of_all = args.first_panel + panel;
      return {static_cast<const uint8_t*>(args.weights) + (of_all * args.inputs + k) * kRowBytes,
              &args.grouped, of_all * args.grouped.groups + (k >> args.grouped.group_shift)};
    }
  };
};

}  // namespace layercake
