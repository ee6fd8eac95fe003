#include "common/model/packing.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/device_math.cuh"
#include "worker/kernels/simt.cuh"

namespace layercake {
namespace {

constexpr int kTile = 32;
constexpr int kTileRows = 8;  // threads, each for several of a tile's rows

template <typename T>
struct PackTile {
  T values[kTile][kTile + 1];  // one more, so that columns are in different banks
};

// A tile of [outputs][inputs] by way of shared memory, so that reads run along the inputs and
// writes along the outputs.
template <typename From, typename To>
__global__ void PackKernel(const From* source, int64_t first_output, int64_t rows, int64_t inputs,
                           To* panels) {
  auto& tile = SharedAs<PackTile<To>>();
  const int64_t first_row = int64_t{blockIdx.x} * kTile;
  const int64_t first_input = int64_t{blockIdx.y} * kTile;
  const int64_t input = first_input + threadIdx.x;
  for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kTileRows) {
    const int64_t row = first_row + i;
    if (row < rows && input < inputs) {
      Narrow(Widen(source[row * inputs + input]), tile.values[i][threadIdx.x]);
    }
  }
  __syncthreads();
  const int64_t row = first_row + threadIdx.x;
  if (row >= rows) return;
  const int64_t output = first_output + row;
  To* const panel = panels + output / kPanelOutputs * kPanelOutputs * inputs;
  for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kTileRows) {
    const int64_t k = first_input + i;
    if (k < inputs) {
      panel[k * kPanelOutputs + output % kPanelOutputs] = tile.values[threadIdx.x][i];
    }
  }
}

}  // namespace

int PackRowsCuda(const PackRowsArgs& args, CUstream_st* stream) {
  return WithStorage(args.source_dtype, [&](auto source) {
    return WithStorage(args.dtype, [&](auto target) {
      using From = decltype(source);
      using To = decltype(target);
      return Launch("pack_rows", PackKernel<From, To>,
                    dim3(CeilDivide(args.rows, kTile), CeilDivide(args.inputs, kTile)),
                    dim3(kTile, kTileRows), sizeof(PackTile<To>), stream,
                    static_cast<const From*>(args.source), args.first_output, args.rows,
                    args.inputs, static_cast<To*>(args.panels));
    });
  });
}

}  // namespace layercake
