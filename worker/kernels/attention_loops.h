#pragma once

// Loops of attention.h over a vector type. For variant_*.cc only.
//
// Positions are taken in chunks that begin at multiples of kChunk, with a running maximum and sum
// from chunk to chunk (Milakov & Gimelshein 2018, arXiv:1805.02867). What a token's row goes
// through depends on its own position alone, so its result does not depend on its neighbours in the
// slice.

#include <cstdint>

#include "worker/kernels/attention_tiles.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/element_loops.h"
#include "worker/kernels/numbers.h"

namespace layercake {

template <class V, class T>
struct AttentionLoops {
  using Tiles = AttentionTiles<V, T>;
  using Run = typename Tiles::Run;
  using Row = typename Tiles::Row;
  static constexpr int kMaxRows = Tiles::kMaxRows;
  static constexpr int kChunk = 256;
  static constexpr int kStretch = 64;  // positions; divides kChunk

  // Turns a row's scores of a chunk into weights, and rescales what it gathered before.
  //   n: how many of the chunk's positions the row attends to, >= 1.
  static void Softmax(Row& row, int n, bool first_chunk, float scale, int64_t head_dim) {
    const V scales = V::Broadcast(scale);
    V maxima = V::Broadcast(-__builtin_inff());
    for (int i = n; i < (n + 15) / 16 * 16; ++i) row.weights[i] = -__builtin_inff();
    for (int i = 0; i < n; i += 16) {
      const V scores = V::Load(row.weights + i) * scales;
      scores.Store(row.weights + i);
      maxima = V::Max(maxima, scores);
    }
    const float chunk_max = maxima.MaxLane();
    const float max = first_chunk || chunk_max > row.max ? chunk_max : row.max;
    const V shift = V::Broadcast(max);
    V sums = V::Broadcast(0);
    for (int i = 0; i < n; i += 16) {
      V weights = Exp(V::Load(row.weights + i) - shift);
      if (n - i < 16) weights = weights.KeepFirst(n - i);
      weights.Store(row.weights + i);
      sums = sums + weights;
    }
    if (first_chunk) {
      row.sum = sums.Sum();
      Scale(row.out, 0, head_dim, true);
    } else {
      float keep[16];
      Exp(V::Broadcast(row.max - max)).Store(keep);
      row.sum = row.sum * keep[0] + sums.Sum();
      if (keep[0] != 1) Scale(row.out, keep[0], head_dim, false);
    }
    row.max = max;
  }

  static void Scale(float* out, float factor, int64_t n, bool clear) {
    const V factors = V::Broadcast(factor);
    ElementLoops<V>::Map(out, n, [&](V v, int64_t, int) { return clear ? factors : v * factors; });
  }

  static int FindRuns(const AttentionArgs& args, int64_t begin, int64_t end, Run* runs) {
    const KvShape& shape = args.kv->shape;
    const int64_t size = shape.block_size_tokens;
    int count = 0;
    for (int64_t position = begin; position < end;) {
      const int64_t block = args.block_ids[position / size];
      const int64_t offset = position % size;
      const int64_t head = (block * shape.num_kv_heads + args.kv_head) * shape.head_dim * size;
      const int lanes = static_cast<int>(size - offset < 16 ? size - offset : 16);
      Run& run = runs[count++];
      run.keys = static_cast<const T*>(args.kv->keys) + head + offset;
      run.values = static_cast<const T*>(args.kv->values) + head + offset * shape.head_dim;
      run.first = static_cast<int>(position - begin);
      run.count = static_cast<int>(end - position < lanes ? end - position : lanes);
      run.lanes = lanes;
      position += run.count;
    }
    return count;
  }

  // Calls f(rows, count) for tiles of at most kMaxRows of the rows.
  template <class F>
  static void ForTiles(Row* rows, int num_rows, F f) {
    const int tiles = (num_rows + kMaxRows - 1) / kMaxRows;
    for (int tile = 0; tile < tiles; ++tile) {
      const int begin = num_rows * tile / tiles;
      f(rows + begin, num_rows * (tile + 1) / tiles - begin);
    }
  }

  // One chunk for all rows that reach it. Keys, then values, are taken a stretch at a time, so that
  // they stay in the first-level cache while one tile after another uses them.
  static void Attend(const AttentionArgs& args, Row* rows, int num_rows, const Run* runs,
                     int num_runs, int64_t chunk, int64_t chunk_end) {
    const int64_t head_dim = args.kv->shape.head_dim;
    for (int run = 0; run < num_runs; run += kStretch / 16) {
      const int count = num_runs - run < kStretch / 16 ? num_runs - run : kStretch / 16;
      ForTiles(rows, num_rows, [&](Row* tile, int size) {
        Tiles::Score(tile, size, runs + run, count, head_dim, args.kv->shape.block_size_tokens);
      });
    }
    for (int r = 0; r < num_rows; ++r) {
      Softmax(rows[r], End(rows[r], chunk, chunk_end), chunk == 0, args.scale, head_dim);
    }
    for (int begin = 0; begin < chunk_end - chunk; begin += kStretch) {
      ForTiles(rows, num_rows, [&](Row* tile, int size) {
        // Later positions must not touch a row even with weight 0: their values may not be numbers.
        int common = begin + kStretch;
        for (int r = 0; r < size; ++r) {
          const int end = End(tile[r], chunk, chunk_end);
          common = end < common ? end : common;
        }
        Tiles::AddValues(tile, size, runs, begin, common, head_dim);
        for (int r = 0; r < size; ++r) {
          const int end = End(tile[r], chunk, chunk_end);
          const int from = common > begin ? common : begin;
          Tiles::AddValues(tile + r, 1, runs, from, end < begin + kStretch ? end : begin + kStretch,
                           head_dim);
        }
      });
    }
  }

  // How many of the chunk's positions the row attends to.
  static int End(const Row& row, int64_t chunk, int64_t chunk_end) {
    return static_cast<int>((row.limit < chunk_end ? row.limit : chunk_end) - chunk);
  }

  static void Rows(const AttentionArgs& args, int64_t token_begin, int64_t token_end,
                   int64_t head_begin, int64_t head_end) {
    alignas(64) float weights[kAttentionRows][kChunk + 16];
    Row rows[kAttentionRows];
    int num_rows = 0;
    for (int64_t token = token_begin; token < token_end; ++token) {
      for (int64_t head = head_begin; head < head_end; ++head) {
        const int64_t column =
            (args.kv_head * args.heads_per_kv_head + head) * args.kv->shape.head_dim;
        rows[num_rows] = {args.q + token * args.q_stride + column,
                          args.out + token * args.out_stride + column,
                          args.position + token + 1,
                          0,
                          0,
                          weights[num_rows]};
        ++num_rows;
      }
    }
    Chunks(args, rows, num_rows);
  }

  static void Chunks(const AttentionArgs& args, Row* rows, int num_rows) {
    const int64_t last = rows[num_rows - 1].limit;
    Run runs[kChunk];
    int first = 0;
    for (int64_t chunk = 0; chunk < last; chunk += kChunk) {
      const int64_t chunk_end = chunk + kChunk < last ? chunk + kChunk : last;
      while (rows[first].limit <= chunk) ++first;
      const int num_runs = FindRuns(args, chunk, chunk_end, runs);
      Attend(args, rows + first, num_rows - first, runs, num_runs, chunk, chunk_end);
    }
    for (int r = 0; r < num_rows; ++r) {
      Scale(rows[r].out, 1 / rows[r].sum, args.kv->shape.head_dim, false);
    }
  }
};

template <class V>
void RunAttention(const AttentionArgs& args, int64_t token_begin, int64_t token_end,
                  int64_t head_begin, int64_t head_end) {
  if (args.kv->shape.dtype == DType::kF16) {
    AttentionLoops<V, Half>::Rows(args, token_begin, token_end, head_begin, head_end);
  } else {
    AttentionLoops<V, float>::Rows(args, token_begin, token_end, head_begin, head_end);
  }
}

}  // namespace layercake
