#pragma once

// Loops of matmul.h over a vector type. For variant_*.cc only.
//
// A tile of kRows x kVectors accumulators runs over the inner dimension in order; whether it runs
// over all of it at once or, for many rows, block by block with the sums resting in `out` between,
// every sum is the same chain.

#include <cstdint>

#include "common/model/packing.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/numbers.h"

namespace layercake {

template <class V>
struct MatMulLoops {
  static constexpr int kPanel = kPanelOutputs;
  static constexpr int kPanelVectors = kPanel / 16;
  static constexpr int kMaxRows = 6;
  // Inputs that are widened at a time for many rows: a panel of them as f32 fills 32 KiB.
  static constexpr int64_t kBlockInputs = 128;
  // How far ahead of a tile that reads memory its weights are fetched: beyond what out-of-order
  // execution reaches by itself, and soon enough to be still in the first-level cache.
  static constexpr int64_t kPrefetchBytes = 2048;

  static constexpr int64_t kMaxFetchingTiles = 8;

  // As many columns per tile as leave registers for the weights, what they are made with, and one
  // input. One row uses each weight but once, so that few need be at hand; and one tile of all
  // columns reads memory evenly, where two would read it in bursts.
  static constexpr int TileVectors(int rows, int held) {
    if (rows == 1) return kPanelVectors;
    for (int vectors = kPanelVectors; vectors > 1; vectors /= 2) {
      if ((rows + 1 + held) * vectors + 1 <= V::kRegisters) return vectors;
    }
    return 1;
  }

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

  // What a tile fetches ahead per input: nothing; the weights that it will itself read shortly,
  // into the first-level cache; or one or two lines of the next block, into the second-level cache.
  enum class Fetch { kNone, kNear, kFar, kTwoFar };

  struct Span {  // `count` inputs of one tile
    const float* x;
    int64_t x_stride;
    int64_t count;
    const float* init;    // first sums: a bias, `out` itself, or null for zeros
    int64_t init_stride;  // 0 for a bias
    float* out;
    int64_t out_stride;
    int columns;                  // of the panel that exist
    const char* fetch = nullptr;  // where the bytes to fetch ahead begin
    int64_t fetch_step = 64;      // bytes from one fetch to the next
  };

  template <int kRows, int kVectors, Fetch kFetch, class Weights>
  static void Tile(const Span& span, const Weights& weights, int first_column) {
    V sums[kRows][kVectors];
    const int columns = span.columns - first_column;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[r][j] = Init(span, r, first_column + j * 16);
    }
    const float* x = span.x;
    typename Weights::template Columns<kVectors> columns_of(weights, first_column);
    for (int64_t k = 0; k < span.count; ++k) {
      V loaded[kVectors];
      columns_of.Load(loaded);
      FetchAhead<kFetch, Weights::kRowBytes>(span, k);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const V input = V::Broadcast(x[r * span.x_stride + k]);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) sums[r][j] = V::Fma(loaded[j], input, sums[r][j]);
      }
      columns_of.Next();
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      float* out = span.out + r * span.out_stride + first_column;
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const int left = columns - j * 16;
        if (left >= 16) {
          sums[r][j].Store(out + j * 16);
        } else if (left > 0) {
          sums[r][j].StoreFirst(out + j * 16, left);
        }
      }
    }
  }

  template <Fetch kFetch, int kRowBytes>
  static void FetchAhead(const Span& span, int64_t k) {
    if constexpr (kFetch == Fetch::kNear) {
#pragma GCC unroll 4
      for (int byte = 0; byte < kRowBytes; byte += 64) {
        V::Prefetch(span.fetch + k * kRowBytes + byte);
      }
    } else if constexpr (kFetch != Fetch::kNone) {
      V::PrefetchFar(span.fetch + k * span.fetch_step);
      if (kFetch == Fetch::kTwoFar) V::PrefetchFar(span.fetch + k * span.fetch_step + 64);
    }
  }

  static V Init(const Span& span, int row, int column) {
    if (span.init == nullptr) return V::Broadcast(0);
    const float* p = span.init + row * span.init_stride + column;
    const int left = span.columns - column;
    if (left >= 16) return V::Load(p);
    return left > 0 ? V::LoadFirst(p, left) : V::Broadcast(0);
  }

  // All columns of a panel. Only the first strip of a tile fetches ahead: it brings whole lines.
  template <int kRows, Fetch kFetch, class Weights>
  static void Strips(const Span& span, const Weights& weights) {
    constexpr int kVectors = TileVectors(kRows, Weights::kHeld);
    Tile<kRows, kVectors, kFetch>(span, weights, 0);
    for (int column = kVectors * 16; column < kPanel; column += kVectors * 16) {
      Tile<kRows, kVectors, Fetch::kNone>(span, weights, column);
    }
  }

  template <Fetch kFetch, class Weights>
  static void AnyRows(const Span& span, const Weights& weights, int64_t rows) {
    switch (rows) {
      case 1:
        return Strips<1, kFetch>(span, weights);
      case 2:
        return Strips<2, kFetch>(span, weights);
      case 3:
        return Strips<3, kFetch>(span, weights);
      case 4:
        return Strips<4, kFetch>(span, weights);
      case 5:
        return Strips<5, kFetch>(span, weights);
      default:
        return Strips<6, kFetch>(span, weights);
    }
  }

  // Inputs [k, k + count) of `rows` rows from `row` on. In an order of the matrix's own they are
  // gathered into `room`, which has kMaxRows rows of kBlockInputs.
  static Span SpanOf(const MatMulArgs& args, int64_t panel, int64_t row, int64_t rows, int64_t k,
                     int64_t count, float* room) {
    const int64_t column = panel * kPanel;
    const int64_t left = args.outputs - column;
    float* const out = args.out + row * args.out_stride + column;
    Span span = {.x = args.x + row * args.x_stride + k,
                 .x_stride = args.x_stride,
                 .count = count,
                 .init = args.bias == nullptr ? nullptr : args.bias + column,
                 .init_stride = 0,
                 .out = out,
                 .out_stride = args.out_stride,
                 .columns = static_cast<int>(left < kPanel ? left : kPanel)};
    if (k > 0) {
      span.init = out;
      span.init_stride = args.out_stride;
    }
    if (args.grouped.order == nullptr) return span;
    const int32_t* const order = args.grouped.order + k;
    const float* const x = args.x + row * args.x_stride;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < count; ++i) {
        room[r * kBlockInputs + i] = x[r * args.x_stride + order[i]];
      }
    }
    span.x = room;
    span.x_stride = kBlockInputs;
    return span;
  }

  static Dense<float> Widen(const Dense<float>& weights, int64_t, float*) { return weights; }
  template <class Weights>
  static Dense<float> Widen(const Weights& weights, int64_t count, float* wide) {
    typename Weights::template Columns<kPanelVectors> columns(weights, 0);
    for (int64_t k = 0; k < count; ++k) {
      V loaded[kPanelVectors];
      columns.Load(loaded);
#pragma GCC unroll 4
      for (int j = 0; j < kPanelVectors; ++j) loaded[j].Store(wide + k * kPanel + j * 16);
      columns.Next();
    }
    return {wide};
  }

  // Many rows of one panel: weights are widened once per block, then every tile of rows uses them
  // from the first-level cache, while the first tiles fetch the next block.
  template <class Weights>
  static void ManyRows(const MatMulArgs& args, int64_t panel) {
    alignas(64) float wide[kBlockInputs * kPanel];
    alignas(64) float room[kBlockInputs * kMaxRows];
    const int64_t tiles = (args.rows + kMaxRows - 1) / kMaxRows;
    // Evenly over the tiles, or the fetches would wait for each other and the tile for them.
    const int64_t fetching = tiles < kMaxFetchingTiles ? tiles : kMaxFetchingTiles;
    const int64_t fetch_step = Weights::kRowBytes / fetching;
    for (int64_t k = 0; k < args.inputs;) {
      const int64_t run_end = Weights::RunEnd(args, k);
      const int64_t end = run_end - k < kBlockInputs ? run_end : k + kBlockInputs;
      const Weights block = Weights::At(args, panel, k);
      const char* next = reinterpret_cast<const char*>(block.rows) + (end - k) * Weights::kRowBytes;
      const Dense<float> values = Widen(block, end - k, wide);
      int64_t row = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row_end = args.rows * (tile + 1) / tiles;
        Span span = SpanOf(args, panel, row, row_end - row, k, end - k, room);
        span.fetch = next + tile * (end - k) * fetch_step;
        span.fetch_step = fetch_step;
        if (tile >= fetching) {
          AnyRows<Fetch::kNone>(span, values, row_end - row);
        } else if (fetch_step <= 64) {
          AnyRows<Fetch::kFar>(span, values, row_end - row);
        } else {
          AnyRows<Fetch::kTwoFar>(span, values, row_end - row);
        }
        row = row_end;
      }
      k = end;
    }
  }

  template <class Weights>
  static void FewRows(const MatMulArgs& args, int64_t panel) {
    alignas(64) float room[kBlockInputs * kMaxRows];
    for (int64_t k = 0; k < args.inputs;) {
      int64_t end = Weights::RunEnd(args, k);
      if (args.grouped.order != nullptr && end - k > kBlockInputs) end = k + kBlockInputs;
      const Weights weights = Weights::At(args, panel, k);
      Span span = SpanOf(args, panel, 0, args.rows, k, end - k, room);
      span.fetch = reinterpret_cast<const char*>(weights.rows) + kPrefetchBytes;
      AnyRows<Fetch::kNear>(span, weights, args.rows);
      k = end;
    }
  }

  template <class Weights>
  static void Panels(const MatMulArgs& args, int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      if (args.rows <= Weights::kFewRows) {
        FewRows<Weights>(args, panel);
      } else {
        ManyRows<Weights>(args, panel);
      }
    }
  }

  static void Run(const MatMulArgs& args, int64_t begin, int64_t end) {
    if (args.grouped.bits == 4) return Panels<Grouped<4>>(args, begin, end);
    if (args.grouped.bits == 8) return Panels<Grouped<8>>(args, begin, end);
    switch (args.dtype) {
      case DType::kF32:
        return Panels<Dense<float>>(args, begin, end);
      case DType::kF16:
        return Panels<Dense<Half>>(args, begin, end);
      case DType::kBF16:
        return Panels<Dense<BFloat16>>(args, begin, end);
    }
  }
};

}  // namespace layercake
