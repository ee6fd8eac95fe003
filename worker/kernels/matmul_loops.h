#pragma once

// Loops of matmul.h over a vector type. For variant_*.cc only.
//
// Whether a tile runs over all of the inner dimension at once or, for many rows, block by block
// with the sums resting in `out` between, every sum is the same chain.

#include <cstdint>

#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/matmul_tile.h"
#include "worker/kernels/weight_readers.h"

namespace layercake {

template <class V>
struct MatMulLoops {
  using Readers = WeightReaders<V>;
  using Tile = MatMulTile<V>;
  using Fetch = typename Tile::Fetch;
  using Span = typename Tile::Span;
  template <class W>
  using Dense = typename Readers::template Dense<W>;
  template <int kBits>
  using Grouped = typename Readers::template Grouped<kBits>;

  static constexpr int kPanel = Readers::kPanel;
  static constexpr int kPanelVectors = Readers::kPanelVectors;
  static constexpr int kMaxRows = Readers::kMaxRows;
  // Inputs that are widened at a time for many rows: a panel of them as f32 fills 32 KiB.
  static constexpr int64_t kBlockInputs = 128;
  // How far ahead of a tile that reads memory its weights are fetched: beyond what out-of-order
  // execution reaches by itself, and soon enough to be still in the first-level cache.
  static constexpr int64_t kPrefetchBytes = 2048;

  static constexpr int64_t kMaxFetchingTiles = 8;

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
          Tile::template AnyRows<Fetch::kNone>(span, values, row_end - row);
        } else if (fetch_step <= 64) {
          Tile::template AnyRows<Fetch::kFar>(span, values, row_end - row);
        } else {
          Tile::template AnyRows<Fetch::kTwoFar>(span, values, row_end - row);
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
      Tile::template AnyRows<Fetch::kNear>(span, weights, args.rows);
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
