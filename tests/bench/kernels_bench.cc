// What the kernels reach on this machine, beside what its memory and multipliers give to a plain
// loop: GB/s are bytes of weights, or of keys and values; GFLOP/s count a multiply-add as two.
// Rates are over the calling thread's processor time: on a quiet machine that is wall time, and on
// a busy one nearer to what a quiet one would show.
//
//   kernels_bench --benchmark_filter='MatMul/.*/threads:1'

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "common/base/logging.h"
#include "worker/device/device.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/elementwise.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/prepare_attention.h"

namespace layercake {
namespace {

// More than the last-level cache holds of one process's weights in practice.
constexpr int64_t kStreamBytes = int64_t{1} << 30;

std::unique_ptr<Device> MakeDevice(int64_t threads) {
  auto device = Device::CreateCpu(static_cast<int>(threads));
  CHECK(device.ok()) << device.status();
  return *std::move(device);
}

Buffer Take(Device& device, int64_t bytes) {
  auto buffer = device.Allocate(bytes, "benchmark");
  CHECK(buffer.ok()) << buffer.status();
  return *std::move(buffer);
}

TensorView RandomRows(const Buffer& buffer, int64_t rows, int64_t cols) {
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  float* data = buffer.As<float>();
  for (int64_t i = 0; i < rows * cols; ++i) data[i] = uniform(random);
  return F32View(data, rows, cols);
}

// The bound of every memory-bound kernel: a sum over memory.
void PlainRead(benchmark::State& state) {
  const auto device = MakeDevice(state.range(0));
  const Buffer buffer = Take(*device, kStreamBytes);
  const int64_t* words = buffer.As<int64_t>();
  for (auto _ : state) {
    std::atomic<int64_t> total{0};
    device->pool().ParallelFor(kStreamBytes / 8, 1 << 20, [&](int64_t begin, int64_t end) {
      total += std::accumulate(words + begin, words + end, int64_t{0});
    });
    benchmark::DoNotOptimize(total.load());
  }
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(kStreamBytes) / 1e9,
                                              benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(PlainRead)->ArgName("threads")->Arg(1)->Arg(2);

// A matrix of a DType, or of integers of that many bits in groups of 128.
PackedMatrix MakeMatrix(int64_t format, int64_t outputs, int64_t inputs, Device& device) {
  if (format >= 4) {
    const Quantization groups = {.bits = format, .group_inputs = 128, .zeros = format == 4};
    auto matrix =
        PackedMatrix::CreateQuantized(outputs, inputs, groups, DType::kF16, device, "benchmark");
    CHECK(matrix.ok()) << matrix.status();
    return *std::move(matrix);
  }
  const auto dtype = static_cast<DType>(format);
  auto matrix = PackedMatrix::Create(outputs, inputs, dtype, device, "benchmark");
  CHECK(matrix.ok()) << matrix.status();
  const std::vector<char> source(outputs * inputs * DTypeBytes(dtype), 0x3c);
  matrix->PackRows(0, outputs, source.data(), dtype, device);
  return *std::move(matrix);
}

// {threads, format (DType, or bits of integers), rows, outputs, inputs}; as many matrices as make
// kStreamBytes, so that a product reads its weights from memory as a step does.
void Product(benchmark::State& state) {
  const auto device = MakeDevice(state.range(0));
  const int64_t rows = state.range(2), outputs = state.range(3), inputs = state.range(4);
  std::vector<PackedMatrix> matrices;
  matrices.push_back(MakeMatrix(state.range(1), outputs, inputs, *device));
  const int64_t bytes = matrices[0].bytes();
  const int64_t count = rows <= 16 ? std::max<int64_t>(1, kStreamBytes / bytes) : 8;
  while (static_cast<int64_t>(matrices.size()) < count) {
    matrices.push_back(MakeMatrix(state.range(1), outputs, inputs, *device));
  }
  const Buffer in = Take(*device, rows * inputs * 4), out = Take(*device, rows * outputs * 4);
  const Buffer scratch = Take(*device, InputPiecesBytes(rows, inputs));
  const TensorView x = RandomRows(in, rows, inputs);
  const TensorView y = F32View(out.As<float>(), rows, outputs);
  for (auto _ : state) {
    for (const PackedMatrix& matrix : matrices) MatMul(x, matrix, nullptr, y, *device, scratch);
  }
  const double products = static_cast<double>(matrices.size());
  state.counters["GB/s"] = benchmark::Counter(products * static_cast<double>(bytes) / 1e9,
                                              benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GFLOP/s"] =
      benchmark::Counter(products * 2e-9 * static_cast<double>(rows * outputs * inputs),
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(Product)
    ->Name("MatMul")
    ->ArgNames({"threads", "format", "rows", "outputs", "inputs"})
    ->ArgsProduct({{1, 2}, {0, 1, 2, 8, 4}, {1, 2, 3, 4, 8, 16, 256}, {4864}, {896}})
    ->ArgsProduct({{1, 2}, {2}, {1, 256}, {896}, {4864}})
    ->Unit(benchmark::kMillisecond);

// {threads, dtype, tokens, context, heads, kv heads, head_dim}: one layer, one sequence whose last
// `tokens` tokens attend.
void Attend(benchmark::State& state) {
  const auto device = MakeDevice(state.range(0));
  const int64_t tokens = state.range(2), context = state.range(3), heads = state.range(4);
  const KvShape shape = {.dtype = static_cast<DType>(state.range(1)),
                         .num_blocks = context / 16,
                         .block_size_tokens = 16,
                         .num_kv_heads = state.range(5),
                         .head_dim = state.range(6)};
  const int64_t numbers = context * shape.num_kv_heads * shape.head_dim;
  const int64_t bytes = numbers * DTypeBytes(shape.dtype);
  const Buffer keys = Take(*device, bytes), values = Take(*device, bytes);
  const KvLayer kv = {shape, keys.data(), values.data()};
  const int64_t width = heads * shape.head_dim;
  const int64_t in_cols = width + 2 * shape.num_kv_heads * shape.head_dim;
  const Buffer in = Take(*device, context * in_cols * 4), out = Take(*device, tokens * width * 4);
  const Buffer angles = Take(*device, context * shape.head_dim * 4);
  std::vector<int32_t> blocks(shape.num_blocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  const SliceView all = {0, context, blocks};
  const TensorView rows = RandomRows(in, context, in_cols);
  PrepareAttention(rows, HeadNorms(), RandomRows(angles, context, shape.head_dim),
                   std::span(&all, 1), kv, *device);
  const SliceView slice = {context - tokens, tokens, blocks};
  const float scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  for (auto _ : state) {
    PagedAttention(rows.Head(tokens).Columns(0, width), std::span(&slice, 1), kv, scale,
                   F32View(out.As<float>(), tokens, width), *device);
  }
  state.counters["GB/s"] = benchmark::Counter(2e-9 * static_cast<double>(bytes),
                                              benchmark::Counter::kIsIterationInvariantRate);
  const double pairs =
      static_cast<double>(tokens) * static_cast<double>(context - (tokens - 1) / 2);
  state.counters["GFLOP/s"] = benchmark::Counter(4e-9 * pairs * static_cast<double>(width),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(Attend)
    ->Name("Attention")
    ->ArgNames({"threads", "dtype", "tokens", "context", "heads", "kv_heads", "head_dim"})
    ->ArgsProduct({{1, 2}, {0, 1}, {1, 256}, {512, 2048}, {14}, {2}, {64}})
    ->ArgsProduct({{1, 2}, {1}, {1, 256}, {2048}, {16, 32}, {16}, {128}})
    ->Unit(benchmark::kMicrosecond);

// {rows, dim}
void Normalise(benchmark::State& state) {
  const auto device = MakeDevice(1);
  const int64_t rows = state.range(0), dim = state.range(1);
  const Buffer in = Take(*device, rows * dim * 4), out = Take(*device, rows * dim * 4);
  const TensorView x = RandomRows(in, rows, dim);
  for (auto _ : state) {
    RmsNorm(x, x.Row(0), 1e-6f, F32View(out.As<float>(), rows, dim), *device);
  }
}
BENCHMARK(Normalise)->Name("RmsNorm")->ArgNames({"rows", "dim"})->Args({1, 896})->Args({256, 896});

void Gate(benchmark::State& state) {
  const auto device = MakeDevice(1);
  const int64_t rows = state.range(0), dim = state.range(1);
  const Buffer in = Take(*device, rows * dim * 4), other = Take(*device, rows * dim * 4);
  const TensorView gate = RandomRows(in, rows, dim), up = RandomRows(other, rows, dim);
  const std::vector<float> fresh(gate.Row(0), gate.Row(0) + rows * dim);
  for (auto _ : state) {
    std::copy(fresh.begin(), fresh.end(), gate.Row(0));
    SwiGluInPlace(gate, up, *device);
  }
}
BENCHMARK(Gate)->Name("SwiGlu")->ArgNames({"rows", "dim"})->Args({1, 4864})->Args({256, 4864});

// {threads}: a loop with nothing in it.
void ForkJoin(benchmark::State& state) {
  const auto device = MakeDevice(state.range(0));
  for (auto _ : state) device->pool().ParallelFor(state.range(0), 1, [](int64_t, int64_t) {});
}
BENCHMARK(ForkJoin)->ArgName("threads")->Arg(2);

}  // namespace
}  // namespace layercake

BENCHMARK_MAIN();
