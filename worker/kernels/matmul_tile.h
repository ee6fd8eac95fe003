#pragma once

// The innermost loop of matmul_loops.h: a tile of kRows x kVectors accumulators runs over inputs in
// order. For variant_*.cc only.

#include <cstdint>

#include "worker/kernels/weight_readers.h"

namespace layercake {

template <class V>
struct MatMulTile {
  static constexpr int kPanel = WeightReaders<V>::kPanel;
  static constexpr int kPanelVectors = WeightReaders<V>::kPanelVectors;

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
};

}  // namespace layercake
