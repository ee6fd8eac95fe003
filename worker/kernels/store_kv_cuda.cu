#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kThreads = 128;
constexpr int kNumbersEach = 16;  // of a thread, roughly

// Some blocks a tile of tokens.
template <typename T>
__global__ void __launch_bounds__(kThreads) StoreKvKernel(StoreKvArgs args) {
  const KvShape& shape = args.kv.shape;
  const AttentionTile tile = args.step.tiles[blockIdx.x];
  const int64_t size = shape.block_size_tokens;
  const int64_t cols = args.keys.cols;
  for (int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x; i < tile.num_tokens * cols;
       i += int64_t{gridDim.y} * kThreads) {
    const int64_t token = i / cols, column = i % cols;
    const int64_t position = tile.position + token;
    const int64_t block = args.step.blocks[tile.first_block + position / size];
    const int64_t offset = position % size;
    const int64_t dim = column % shape.head_dim;
    const int64_t head = block * shape.num_kv_heads + column / shape.head_dim;
    const int64_t row = tile.row + token;
    Narrow(args.keys.data[row * args.keys.stride + column],
           static_cast<T*>(args.kv.keys)[(head * shape.head_dim + dim) * size + offset]);
    Narrow(args.values.data[row * args.values.stride + column],
           static_cast<T*>(args.kv.values)[(head * size + offset) * shape.head_dim + dim]);
  }
}

}  // namespace

int StoreKvCuda(const StoreKvArgs& args, CUstream_st* stream) {
  const unsigned blocks =
      CeilDivide(args.step.tile_tokens * args.keys.cols, kThreads * kNumbersEach);
  return WithStorage(args.kv.shape.dtype, [&](auto zero) {
    return Launch("store_kv", StoreKvKernel<decltype(zero)>,
                  dim3(static_cast<unsigned>(args.step.num_tiles), blocks), kThreads, 0, stream,
                  args);
  });
}

}  // namespace layercake
