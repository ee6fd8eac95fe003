#pragma once

// The two products of attention, scores and weighted values, in tiles of rows by vectors of
// positions or of head_dim. For variant_*.cc only.

#include <cstdint>

namespace layercake {

template <class V, class T>
struct AttentionTiles {
  static constexpr int kMaxRows = 6;
  static constexpr int kMaxVectors = 4;

  struct Run {        // up to 16 consecutive positions in one block
    const T* keys;    // [head_dim] rows of block_size_tokens
    const T* values;  // [count][head_dim]
    int first;        // in the chunk
    int count;
    int lanes;  // positions that may be read from `keys`
  };
  struct Row {  // one head of one token
    const float* q;
    float* out;
    int64_t limit;  // attends to positions [0, limit)
    float max;
    float sum;
    float* weights;  // of the chunk's positions, and room for 16 more; scores first
  };

  static constexpr int TileVectors(int rows) {
    for (int vectors = kMaxVectors; vectors > 1; vectors /= 2) {
      if ((rows + 1) * vectors + 1 <= V::kRegisters) return vectors;
    }
    return 1;
  }

  // Calls f.template operator()<rows>() with the number of rows as a constant.
  template <class F>
  static void WithRows(int rows, F f) {
    switch (rows) {
      case 1:
        return f.template operator()<1>();
      case 2:
        return f.template operator()<2>();
      case 3:
        return f.template operator()<3>();
      case 4:
        return f.template operator()<4>();
      case 5:
        return f.template operator()<5>();
      default:
        return f.template operator()<6>();
    }
  }

  template <int kRows, int kVectors, bool kWhole>
  static void ScoreTile(const Row* rows, const Run* runs, int64_t head_dim, int64_t stride) {
    V sums[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[r][j] = V::Broadcast(0);
    }
    for (int64_t d = 0; d < head_dim; ++d) {
      V keys[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const T* p = runs[j].keys + d * stride;
        if constexpr (kWhole) {
          keys[j] = V::Load(p);
        } else {
          keys[j] = V::LoadFirst(p, runs[j].lanes);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const V q = V::Broadcast(rows[r].q[d]);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) sums[r][j] = V::Fma(keys[j], q, sums[r][j]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[r][j].Store(rows[r].weights + runs[j].first);
    }
  }

  // Scores of `count` rows against every run, unscaled.
  static void Score(const Row* rows, int count, const Run* runs, int num_runs, int64_t head_dim,
                    int64_t stride) {
    WithRows(count, [&]<int kRows>() {
      constexpr int kVectors = TileVectors(kRows);
      int i = 0;
      while (i < num_runs) {
        int whole = 0;
        while (whole < kVectors && i + whole < num_runs && runs[i + whole].lanes == 16) ++whole;
        if (whole == kVectors) {
          ScoreTile<kRows, kVectors, true>(rows, runs + i, head_dim, stride);
          i += kVectors;
        } else if (whole > 0) {
          ScoreTile<kRows, 1, true>(rows, runs + i++, head_dim, stride);
        } else {
          ScoreTile<kRows, 1, false>(rows, runs + i++, head_dim, stride);
        }
      }
    });
  }

  template <int kRows, int kVectors, bool kWhole>
  static void ValueTile(const Row* rows, const Run* runs, int begin, int end, int64_t head_dim,
                        int64_t column) {
    const int left = kWhole ? 16 : static_cast<int>(head_dim - column);
    V sums[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const float* p = rows[r].out + column + j * 16;
        sums[r][j] = kWhole ? V::Load(p) : V::LoadFirst(p, left);
      }
    }
    for (const Run* run = runs; begin < end; ++run) {
      const int run_end = run->first + run->count;
      if (run_end <= begin) continue;
      const T* values = run->values + (begin - run->first) * head_dim + column;
      for (; begin < end && begin < run_end; ++begin, values += head_dim) {
        V loaded[kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
          loaded[j] = kWhole ? V::Load(values + j * 16) : V::LoadFirst(values, left);
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const V weight = V::Broadcast(rows[r].weights[begin]);
#pragma GCC unroll 4
          for (int j = 0; j < kVectors; ++j) sums[r][j] = V::Fma(loaded[j], weight, sums[r][j]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        float* p = rows[r].out + column + j * 16;
        if constexpr (kWhole) {
          sums[r][j].Store(p);
        } else {
          sums[r][j].StoreFirst(p, left);
        }
      }
    }
  }

  // Adds weighted values of the chunk's positions [begin, end) to `count` rows' sums.
  static void AddValues(const Row* rows, int count, const Run* runs, int begin, int end,
                        int64_t head_dim) {
    if (begin >= end) return;
    WithRows(count, [&]<int kRows>() {
      constexpr int kVectors = TileVectors(kRows);
      int64_t column = 0;
      for (; column + kVectors * 16 <= head_dim; column += kVectors * 16) {
        ValueTile<kRows, kVectors, true>(rows, runs, begin, end, head_dim, column);
      }
      for (; column + 16 <= head_dim; column += 16) {
        ValueTile<kRows, 1, true>(rows, runs, begin, end, head_dim, column);
      }
      if (column < head_dim) {
        ValueTile<kRows, 1, false>(rows, runs, begin, end, head_dim, column);
      }
    });
  }
};

}  // namespace layercake
