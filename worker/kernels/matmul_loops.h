#pragma once

// Loops of matmul.h over a vector type. For variant_*.cc only.
//
// A tile of kRows x kVectors accumulators runs over the inner dimension in order; whether it runs
// over all of it at once or, for many rows, block by block with the sums resting in `out` between,
// every sum is the same chain.

#include <cstdint>

#include "common/model/costs.h"
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

  // As many columns per tile as leave registers for the weights and one input.
  static constexpr int TileVectors(int rows) {
    for (int vectors = kPanelVectors; vectors > 1; vectors /= 2) {
      if ((rows + 1) * vectors + 1 <= V::kRegisters) return vectors;
    }
    return 1;
  }

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

  template <int kRows, int kVectors, Fetch kFetch, class W>
  static void Tile(const Span& span, const W* weights, int first_column) {
    V sums[kRows][kVectors];
    const int columns = span.columns - first_column;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[r][j] = Init(span, r, first_column + j * 16);
    }
    const float* x = span.x;
    const W* w = weights + first_column;
    for (int64_t k = 0; k < span.count; ++k) {
      V loaded[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) loaded[j] = V::Load(w + j * 16);
      FetchAhead<kFetch, W>(span, k);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const V input = V::Broadcast(x[r * span.x_stride + k]);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) sums[r][j] = V::Fma(loaded[j], input, sums[r][j]);
      }
      w += kPanel;
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

  template <Fetch kFetch, class W>
  static void FetchAhead(const Span& span, int64_t k) {
    if constexpr (kFetch == Fetch::kNear) {
#pragma GCC unroll 4
      for (int byte = 0; byte < kPanel * static_cast<int>(sizeof(W)); byte += 64) {
        V::Prefetch(span.fetch + k * kPanel * static_cast<int>(sizeof(W)) + byte);
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
  template <int kRows, Fetch kFetch, class W>
  static void Strips(const Span& span, const W* weights) {
    constexpr int kVectors = TileVectors(kRows);
    Tile<kRows, kVectors, kFetch>(span, weights, 0);
    for (int column = kVectors * 16; column < kPanel; column += kVectors * 16) {
      Tile<kRows, kVectors, Fetch::kNone>(span, weights, column);
    }
  }

  template <Fetch kFetch, class W>
  static void AnyRows(const Span& span, const W* weights, int64_t rows) {
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

  static Span PanelSpan(const MatMulArgs& args, int64_t panel) {
    const int64_t column = panel * kPanel;
    const int64_t left = args.outputs - column;
    return {.x = args.x,
            .x_stride = args.x_stride,
            .count = args.inputs,
            .init = args.bias == nullptr ? nullptr : args.bias + column,
            .init_stride = 0,
            .out = args.out + column,
            .out_stride = args.out_stride,
            .columns = static_cast<int>(left < kPanel ? left : kPanel)};
  }

  static const float* Widen(const float* weights, int64_t, float*) { return weights; }
  template <class W>
  static const float* Widen(const W* weights, int64_t count, float* wide) {
    for (int64_t i = 0; i < count; i += 16) V::Load(weights + i).Store(wide + i);
    return wide;
  }

  // Many rows of one panel: weights are widened once per block, then every tile of rows uses them
  // from the first-level cache, while the first tiles fetch the next block.
  template <class W>
  static void ManyRows(const MatMulArgs& args, int64_t panel, const W* weights) {
    alignas(64) float wide[kBlockInputs * kPanel];
    const int64_t tiles = (args.rows + kMaxRows - 1) / kMaxRows;
    // Evenly over the tiles, or the fetches would wait for each other and the tile for them.
    const int64_t fetching = tiles < kMaxFetchingTiles ? tiles : kMaxFetchingTiles;
    const int64_t fetch_step = kPanel * static_cast<int64_t>(sizeof(W)) / fetching;
    for (int64_t k = 0; k < args.inputs; k += kBlockInputs) {
      const int64_t count = args.inputs - k < kBlockInputs ? args.inputs - k : kBlockInputs;
      const W* block = weights + k * kPanel;
      const char* next = reinterpret_cast<const char*>(block + count * kPanel);
      const float* values = Widen(block, count * kPanel, wide);
      int64_t row = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row_end = args.rows * (tile + 1) / tiles;
        Span span = PanelSpan(args, panel);
        span.x += row * span.x_stride + k;
        span.out += row * span.out_stride;
        span.count = count;
        span.fetch = next + tile * count * fetch_step;
        span.fetch_step = fetch_step;
        if (k > 0) {
          span.init = span.out;
          span.init_stride = span.out_stride;
        }
        if (tile >= fetching) {
          AnyRows<Fetch::kNone>(span, values, row_end - row);
        } else if (fetch_step <= 64) {
          AnyRows<Fetch::kFar>(span, values, row_end - row);
        } else {
          AnyRows<Fetch::kTwoFar>(span, values, row_end - row);
        }
        row = row_end;
      }
    }
  }

  template <class W>
  static void Panels(const MatMulArgs& args, int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const W* weights = static_cast<const W*>(args.weights) + panel * kPanel * args.inputs;
      if (args.rows <= kMaxRows) {
        Span span = PanelSpan(args, panel);
        span.fetch = reinterpret_cast<const char*>(weights) + kPrefetchBytes;
        AnyRows<Fetch::kNear>(span, weights, args.rows);
      } else {
        ManyRows(args, panel, weights);
      }
    }
  }

  static void Run(const MatMulArgs& args, int64_t begin, int64_t end) {
    switch (args.dtype) {
      case DType::kF32:
        return Panels<float>(args, begin, end);
      case DType::kF16:
        return Panels<Half>(args, begin, end);
      case DType::kBF16:
        return Panels<BFloat16>(args, begin, end);
    }
  }
};

}  // namespace layercake
