#include "worker/kernels/attention_tensor_stage.cuh"

namespace layercake {
namespace {

// Adds to scores of the warp's positions of a chunk what steps [first, end) make, of which `keys`
// reads the first one next. Element e of a tile's column j is of row half e / 2, and of position
// 8 * (lane % 4) + 4 * (e % 2) + j of the warp's.
template <class C, class Keys>
__device__ __forceinline__ void Score(const Self<C>& self, Keys keys, int first, int end,
                                      const Shared<C>& shared, float (&scores)[C::kTiles][4][4]) {
  static_assert(C::kSteps % kKeysAhead == 0);  // steps beyond the head are of zeros
  KvColumns<kKeysOfLane> ahead[kKeysAhead];
#pragma unroll
  for (int u = 0; u < kKeysAhead; ++u) keys.ReadNext(ahead[u]);
#pragma unroll C::kScoreLoops
  for (int step = first; step < end; step += kKeysAhead) {
#pragma unroll
    for (int u = 0; u < kKeysAhead; ++u) {
      uint32_t columns[4][2];
#pragma unroll
      for (int j = 0; j < 4; ++j) ahead[u].Fragment(j, columns[j]);
      keys.ReadNext(ahead[u]);
#pragma unroll
      for (int tile = 0; tile < C::kTiles; ++tile) {
        if (tile >= self.tiles) continue;
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
          const uint4 rows = shared.queries[self.first_tile + tile][step + u][piece][self.lane];
#pragma unroll
          for (int j = 0; j < 4; ++j) MultiplyAddF16(rows, columns[j], scores[tile][j]);
        }
      }
    }
  }
}

// The same for a whole chunk, whose first keys are on their way; its first values then are.
template <class C>
__device__ __forceinline__ void ScoreStaged(const Self<C>& self, int chunk, bool any,
                                            const Shared<C>& shared, Stage<C>& stage,
                                            float (&scores)[C::kTiles][4][4]) {
  const int steps = static_cast<int>(stage.args.op.kv.shape.head_dim + kInnerStep - 1) / kInnerStep;
#pragma unroll 1
  for (int first = 0; first < steps; first += kSlabSteps) {
    const int next = first + kSlabSteps;
    const uint16_t* const slab = stage.Take();
    if (next < steps) {
      stage.CopyKeys(chunk, next / kSlabSteps);
    } else {
      stage.CopyValues(chunk, 0);
    }
    if (!any) continue;
    Score<C>(self, StagedKeys(slab, self.warp, self.lane), first, next < steps ? next : steps,
             shared, scores);
  }
}

// Over the four lanes that hold a row, in one fixed order.
__device__ __forceinline__ float RowMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
}
__device__ __forceinline__ float RowSum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 2);
  return x + __shfl_xor_sync(kAllLanes, x, 1);
}

// Scales the scores, and tells the other warps their maxima.
template <class C>
__device__ __forceinline__ void ShareMax(const Self<C>& self, int first, Shared<C>& shared,
                                         float (&scores)[C::kTiles][4][4]) {
  ForEachRow<C>(self, [&](int tile, int half, int row) {
    const int count = self.limits[tile][half] - first;
    float max = -INFINITY;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      float& score = scores[tile][i % 4][2 * half + i / 4];
      score *= shared.factors[row];
      if (i < count) max = fmaxf(max, score);
    }
    max = RowMax(max);
    if (self.lane % 4 == 0) shared.max[self.warp][row] = max;
  });
}

// Turns scores into weights; positions that the row does not attend to weigh 0. Tells the other
// warps of them, in pieces, and of their sums. `maxima` are the chunk's.
template <class C>
__device__ __forceinline__ void ShareWeights(const Self<C>& self, int first, Shared<C>& shared,
                                             float (&scores)[C::kTiles][4][4],
                                             float (&maxima)[C::kTiles][2]) {
  ForEachRow<C>(self, [&](int tile, int half, int row) {
    const int count = self.limits[tile][half] - first;
    const float max = fmaxf(fmaxf(shared.max[0][row], shared.max[1][row]),
                            fmaxf(shared.max[2][row], shared.max[3][row]));
    maxima[tile][half] = max;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      float& score = scores[tile][i % 4][2 * half + i / 4];
      const float weight = Exp(score - max);
      score = i < count ? weight : 0.0f;
      sum += score;
      score *= kWeightScale;
    }
    sum = RowSum(sum);
    if (self.lane % 4 == 0) shared.sum[self.warp][row] = sum;
  });
#pragma unroll
  for (int tile = 0; tile < C::kTiles; ++tile) {
    if (tile >= self.tiles) continue;
#pragma unroll
    for (int step = 0; step < 2; ++step) {
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        float(&s)[4][4] = scores[tile];
        shared.weights[self.first_tile + tile][2 * self.warp + step][piece][self.lane] =
            uint4{TakeF16(s[0][step], s[1][step]), TakeF16(s[0][2 + step], s[1][2 + step]),
                  TakeF16(s[2][step], s[3][step]), TakeF16(s[2][2 + step], s[3][2 + step])};
      }
    }
  }
}

// Adds weighted values of a pair of steps to `sums`, of the warp's dimensions.
template <class C>
__device__ __forceinline__ void AddPair(const Self<C>& self, int pair,
                                        const PairValues<C::kColumns>& values,
                                        const Shared<C>& shared, LaneValues<C>& sums) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    uint32_t columns[C::kColumns][2];
#pragma unroll
    for (int j = 0; j < C::kColumns; ++j) values.steps[step].Fragment(j, columns[j]);
#pragma unroll
    for (int tile = 0; tile < C::kTiles; ++tile) {
      if (tile >= self.tiles) continue;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        const uint4 weights =
            shared.weights[self.first_tile + tile][2 * pair + step][piece][self.lane];
#pragma unroll
        for (int j = 0; j < C::kColumns; ++j) MultiplyAddF16(weights, columns[j], sums[tile][j]);
      }
    }
  }
}

// The same, the rows of a token at a time, without values that they do not attend to.
template <class C>
__device__ __forceinline__ void AddPairByTokens(const Self<C>& self, const TileRows& rows, int pair,
                                                int first, const PairValues<C::kColumns>& values,
                                                const Shared<C>& shared, LaneValues<C>& sums) {
#pragma unroll 1
  for (int limit = rows.tile.position + 1; limit <= rows.End(); ++limit) {
#pragma unroll
    for (int j = 0; j < C::kColumns; ++j) {
      uint32_t columns[2][2];
      values.FragmentsBefore(limit - first, self.lane, j, columns);
#pragma unroll
      for (int tile = 0; tile < C::kTiles; ++tile) {
        if (tile >= self.tiles) continue;
        float next[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) next[e] = sums[tile][j][e];
#pragma unroll
        for (int i = 0; i < 2 * kPieces; ++i) {
          const auto& weights = shared.weights[self.first_tile + tile][2 * pair + i / kPieces];
          MultiplyAddF16(weights[i % kPieces][self.lane], columns[i / kPieces], next);
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (self.limits[tile][e / 2] == limit) sums[tile][j][e] = next[e];
        }
      }
    }
  }
}

// The same, one way or the other. The pair begins at position `begin`.
template <class C>
__device__ __forceinline__ void AddRightPair(const Self<C>& self, const TileRows& rows, int pair,
                                             int begin, const PairValues<C::kColumns>& values,
                                             const Shared<C>& shared, LaneValues<C>& sums) {
  const int common = rows.tile.position + 1;  // from here on some rows do not attend
  // A weight of 0 does not make up for an infinity.
  if (begin + kPairPositions > common && common < rows.End() &&
      __any_sync(kAllLanes, values.AnyOddFrom(common - begin, self.lane))) {
    AddPairByTokens<C>(self, rows, pair, begin, values, shared, sums);
  } else {
    AddPair<C>(self, pair, values, shared, sums);
  }
}

// Adds those of the chunk that begins at `first`; of its pairs of steps the first two are in
// `values` already.
template <class C>
__device__ __forceinline__ void AddChunk(const Self<C>& self, const TileRows& rows,
                                         const ValueReader<C::kColumns>& reader,
                                         const KvPlaces<1>& places, int first, int pairs,
                                         PairValues<C::kColumns> (&values)[2],
                                         const Shared<C>& shared, LaneValues<C>& sums) {
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair) {
    const int begin = first + pair * kPairPositions;
    if (pair < pairs) AddRightPair<C>(self, rows, pair, begin, values[pair % 2], shared, sums);
    // Whether there is more or not: loads under a condition would be waited for where it ends.
    if (pair + 2 < kPairs) reader.Read(places, pair + 2, values[pair % 2]);
  }
}

// The same, where the chunk's first values are on their way; the next chunk's first keys then are,
// if there are `more` chunks.
template <class C>
__device__ __forceinline__ void AddStaged(const Self<C>& self, const TileRows& rows,
                                          const ValueReader<C::kColumns>& reader, int chunk,
                                          int pairs, bool more, const Shared<C>& shared,
                                          Stage<C>& stage, LaneValues<C>& sums) {
  constexpr int kSlabPairs = kSlabPositions<C> / kPairPositions;
#pragma unroll 1
  for (int first = 0; first < pairs; first += kSlabPairs) {
    const int next = first + kSlabPairs;
    const uint16_t* const slab = stage.Take();
    if (next < pairs) {
      stage.CopyValues(chunk, next / kSlabPairs);
    } else if (more) {
      stage.CopyKeys(chunk + 1, 0);
    }
    if (!reader.Any()) continue;
#pragma unroll 1
    for (int pair = first; pair < next && pair < pairs; ++pair) {
      PairValues<C::kColumns> values;
      TakePair<C>(slab, pair - first, reader.DimOf(self.lane / 4, 0), self.lane, values);
      AddRightPair<C>(self, rows, pair, chunk * kChunk + pair * kPairPositions, values, shared,
                      sums);
    }
  }
}

// Joins a chunk's sums to what there is of the rows; with `kSplit` they are all there is.
template <class C, bool kSplit>
__device__ __forceinline__ void JoinChunk(const Self<C>& self, int chunk,
                                          const float (&maxima)[C::kTiles][2],
                                          const LaneValues<C>& sums, const Shared<C>& shared,
                                          LaneRows<C>& all) {
  ForEachRow<C>(self, [&](int tile, int half, int row) {
    if (self.limits[tile][half] <= chunk * kChunk) return;
    const auto& sum = shared.sum;
    const RowState found = {maxima[tile][half],
                            ((sum[0][row] + sum[1][row]) + sum[2][row]) + sum[3][row]};
    RowState& state = all.states[tile][half];
    const Join join = JoinOf(chunk == 0, state, found);
    state = kSplit ? found : join.state;
#pragma unroll
    for (int j = 0; j < C::kColumns; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int e = 2 * half + i;
        const float value = sums[tile][j][e] * (1 / kWeightScale);
        float& so_far = all.values[tile][j][e];
        so_far = kSplit ? value : fmaf(so_far, join.keep, value * join.take);
      }
    }
  });
}

template <class C, bool kSplit>
__device__ __forceinline__ void WriteRows(const AttentionKernelArgs& args, const Self<C>& self,
                                          const TileRows& rows,
                                          const ValueReader<C::kColumns>& reader, int first_chunk,
                                          const LaneRows<C>& all) {
  const int head_dim = static_cast<int>(args.op.kv.shape.head_dim);
  ForEachRow<C>(self, [&](int tile, int half, int row) {
    if (self.limits[tile][half] <= first_chunk * kChunk) return;
    const RowState& state = all.states[tile][half];
    float* const out = kSplit ? rows.Part(args, row, first_chunk) : rows.Result(args, row);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < C::kColumns; ++j) {
        const int d = reader.DimOf(self.lane % 4 * 2 + i, j);
        const float value = all.values[tile][j][2 * half + i];
        if (d < head_dim) out[d] = kSplit ? value : value / state.sum;
      }
    }
    if (kSplit && self.warp == 0 && self.lane % 4 == 0) {
      out[head_dim] = state.max;
      out[head_dim + 1] = state.sum;
    }
  });
}

// A block takes a tile of tokens by some heads of a kv head; and all chunks, or with `kSplit` one.
template <class C, bool kSplit>
__global__ void __launch_bounds__(C::kThreads, C::kBlocks) TensorKernel(AttentionKernelArgs args) {
  auto& shared = SharedAs<Shared<C>>();
  const TileRows rows = BlockRows(args);
  const int end = rows.End();
  const int first_chunk = kSplit ? static_cast<int>(blockIdx.z) : 0;
  const int last_chunk = kSplit ? first_chunk : (end - 1) / kChunk;
  if (rows.count <= 0 || first_chunk * kChunk >= end) return;
  const Self<C> self(rows);
  const ValueReader<C::kColumns> reader(args, self.warp, self.lane, self.tiles > 0);
  constexpr int kEach = C::kStaged ? kVector : 1;
  SetPlace<kEach>(args, rows, first_chunk, BlockOf<kEach>(args, rows, first_chunk),
                  shared.places[first_chunk % 2]);
  Stage<C> stage(args, rows, shared);
  if constexpr (C::kStaged) {
    __syncthreads();
    stage.CopyKeys(first_chunk, 0);
  }
  ReadQueries<C>(args, rows, shared);
  __syncthreads();

  LaneRows<C> all = {};
  for (int chunk = first_chunk; chunk <= last_chunk; ++chunk) {
    const auto& places = shared.places[chunk % 2];
    const int next_block = kSplit ? -1 : BlockOf<kEach>(args, rows, chunk + 1);  // of later use
    const int first = chunk * kChunk;
    const int first_of_warp = first + self.warp * kWarpPositions;
    // Pairs of steps before the slice's end.
    const int left = (end - first + kPairPositions - 1) / kPairPositions;
    const int pairs = left < kPairs ? left : kPairs;
    const bool any = self.tiles > 0 && first_of_warp < end;
    float scores[C::kTiles][4][4] = {};
    PairValues<C::kColumns> values[2];
    if constexpr (C::kStaged) {
      ScoreStaged<C>(self, chunk, any, shared, stage, scores);
    } else {
      if (any) {
        const KeyReader<C::kWholeVectors> keys(args, places, self.warp * kWarpPositions, self.lane);
        Score<C>(self, keys, 0, C::kSteps, shared, scores);
      }
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) reader.Read(places, pair, values[pair]);
    }
    const int first_of_lane = first_of_warp + self.lane % 4 * 8;
    ShareMax<C>(self, first_of_lane, shared, scores);
    __syncthreads();
    float maxima[C::kTiles][2];
    ShareWeights<C>(self, first_of_lane, shared, scores, maxima);
    if (!kSplit) SetPlace<kEach>(args, rows, chunk + 1, next_block, shared.places[(chunk + 1) % 2]);

    LaneValues<C> sums = {};
    if constexpr (C::kStaged) {
      const bool more = !kSplit && chunk < last_chunk;
      AddStaged<C>(self, rows, reader, chunk, pairs, more, shared, stage, sums);
    } else {
      __syncthreads();
      AddChunk<C>(self, rows, reader, places, first, reader.Any() ? pairs : 0, values, shared,
                  sums);
    }
    JoinChunk<C, kSplit>(self, chunk, maxima, sums, shared, all);
  }
  WriteRows<C, kSplit>(args, self, rows, reader, first_chunk, all);
}

template <class C>
int Run(const PagedAttentionArgs& op, CUstream_st* stream) {
  static_assert(sizeof(Shared<C>) <= kMaxSharedBytes);
  return LaunchAttention(
      {TensorKernel<C, false>, TensorKernel<C, true>, C::kThreads, sizeof(Shared<C>), C::kBlocks},
      ArgsForRows(op, C::kRows), stream);
}

template <int kDims>
int RunAny(const PagedAttentionArgs& op, CUstream_st* stream) {
  const int64_t group = op.q.cols / op.kv.shape.head_dim / op.kv.shape.num_kv_heads;
  if (op.kv.shape.block_size_tokens % kKeysOfLane != 0) {
    return Run<Cut<kDims, 1, 1, true>>(op, stream);
  }
  const bool few_rows = op.step.tile_tokens * group <= kMmaRows;
  if (few_rows || op.kv.shape.block_size_tokens % kVector != 0) {
    return Run<Cut<kDims, 1, 1, false>>(op, stream);
  }
  // The widest heads leave a lane no registers for a second tile.
  if constexpr (kDims > 128) {
    return Run<Cut<kDims, 1, 2, false>>(op, stream);
  } else {
    static_assert(Cut<kDims, 2, 2, false>::kRows == kTensorTileRows);
    return Run<Cut<kDims, 2, 2, false>>(op, stream);
  }
}

}  // namespace

int PagedAttentionTensorCuda(const PagedAttentionArgs& op, CUstream_st* stream) {
  if (op.kv.shape.head_dim <= 64) return RunAny<64>(op, stream);
  if (op.kv.shape.head_dim <= 128) return RunAny<128>(op, stream);
  return RunAny<256>(op, stream);
}

}  // namespace layercake
