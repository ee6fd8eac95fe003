// What the kernels reach on a card, beside a copy of its memory to its memory: GB/s are bytes read
// of weights, or of keys and values, and for the copy bytes read and written.
//
//   card_bench [--device N] [--seconds 0.5]

#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "worker/device/cuda_graphs.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/elementwise.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/step_table.h"

namespace layercake {
namespace {

// More than any card's cache.
constexpr int64_t kStreamBytes = int64_t{1} << 30;

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  CHECK(value.ok()) << value.status();
  return *std::move(value);
}

Buffer Take(Device& device, int64_t bytes) { return OrDie(device.Allocate(bytes, "benchmark")); }

class Bench {
 public:
  Bench(Device& device, double seconds) : device_(device), seconds_(seconds) {}

  void Copy() {
    const Buffer from = Take(device_, kStreamBytes), to = Take(device_, kStreamBytes);
    const double seconds = Time([&] {
      AsCuda(device_).Record(cudaMemcpyAsync(to.As<char>(), from.As<char>(), kStreamBytes,
                                             cudaMemcpyDeviceToDevice, AsCuda(device_).stream()),
                             "a copy");
    });
    copy_rate_ = 2 * static_cast<double>(kStreamBytes) / seconds;
    std::printf("%-44s %9.1f us  %7.1f GB/s\n", "copy of 1 GiB", seconds * 1e6, copy_rate_ / 1e9);
  }

  // Over PCIe, or what else joins them.
  void HostCopies() {
    constexpr int64_t kBytes = int64_t{256} << 20;
    const Buffer here = OrDie(device_.AllocateHost(kBytes, "benchmark"));
    const Buffer there = Take(device_, kBytes);
    const auto copy = [&](const char* name, const Buffer& to, const Buffer& from) {
      const double seconds = Time([&] {
        AsCuda(device_).Record(cudaMemcpyAsync(to.As<char>(), from.As<char>(), kBytes,
                                               cudaMemcpyDefault, AsCuda(device_).stream()),
                               "a copy");
      });
      std::printf("%-44s %9.1f us  %7.1f GB/s\n", name, seconds * 1e6, kBytes / seconds / 1e9);
    };
    copy("page-locked memory to the card", there, here);
    copy("the card to page-locked memory", here, there);
  }

  void Product(int64_t outputs, int64_t inputs, DType dtype, int64_t rows) {
    const std::vector<float> source = Random(kPanelOutputs * inputs);
    Multiply(DTypeName(dtype), outputs, inputs, rows, [&] {
      PackedMatrix matrix =
          OrDie(PackedMatrix::Create(outputs, inputs, dtype, device_, "benchmark"));
      for (int64_t o = 0; o + kPanelOutputs <= outputs; o += kPanelOutputs) {
        matrix.PackRows(o, kPanelOutputs, source.data(), DType::kF32, device_);
      }
      return matrix;
    });
  }

  // Of integers as workers make them; which, does not matter.
  void IntegerProduct(int64_t outputs, int64_t inputs, int64_t bits, int64_t rows) {
    const Quantization groups = {.bits = bits, .group_inputs = 128, .zeros = bits == 4};
    Multiply(absl::StrCat("int", bits), outputs, inputs, rows, [&] {
      return OrDie(PackedMatrix::CreateQuantized(outputs, inputs, groups, DType::kF16, device_,
                                                 "benchmark"));
    });
  }

  // The last `tokens` of each of `sequences`, with the heads of an 8B llama.
  void Attend(int64_t context, int64_t tokens, int64_t sequences, DType dtype) {
    constexpr int64_t kHeads = 32, kKvHeads = 8, kHeadDim = 128, kBlock = 16;
    const int64_t rows = sequences * tokens;
    const int64_t blocks_each = (context + kBlock - 1) / kBlock;
    const int64_t bytes =
        sequences * blocks_each * kBlock * kKvHeads * kHeadDim * DTypeBytes(dtype);
    const Buffer keys = Take(device_, bytes), values = Take(device_, bytes);
    const KvLayer kv = {
        {dtype, sequences * blocks_each, kBlock, kKvHeads, kHeadDim}, keys.data(), values.data()};
    std::vector<std::vector<int32_t>> blocks(sequences);
    std::vector<SliceView> slices;
    for (int64_t s = 0; s < sequences; ++s) {
      blocks[s].resize(blocks_each);
      std::iota(blocks[s].begin(), blocks[s].end(), s * blocks_each);
      slices.push_back({context - tokens, tokens, blocks[s]});
    }
    StageLimits limits;
    limits.max_step_tokens = rows;
    limits.max_batch_sequences = sequences;
    limits.max_context_tokens = blocks_each * kBlock;
    StepTable table = OrDie(StepTable::Create(limits, kHeads / kKvHeads, device_));
    StepView step = OrDie(table.Set(slices, device_));
    // As much as a stage of that model has, for steps of 512 tokens.
    constexpr int64_t kScratchFloats = int64_t{512} * 2 * 14336;
    const Buffer scratch = Take(device_, kScratchFloats * 4);
    step.scratch = scratch.As<float>();
    step.scratch_floats = kScratchFloats;
    const int64_t width = kHeads * kHeadDim;
    const Buffer q = Upload(Random(rows * width)), out = Take(device_, rows * width * 4);
    const double seconds = Time([&] {
      PagedAttention(F32View(q.As<float>(), rows, width), step, kv,
                     1 / std::sqrt(static_cast<float>(kHeadDim)),
                     F32View(out.As<float>(), rows, width), device_);
    });
    const double read = 2.0 * static_cast<double>(sequences * context * kKvHeads * kHeadDim) *
                        static_cast<double>(DTypeBytes(dtype));
    // Each token attends to one position more than the one before it.
    const double attended = static_cast<double>(rows) *
                            (static_cast<double>(context) - static_cast<double>(tokens - 1) / 2);
    Report(absl::StrCat("attention ", DTypeName(dtype), ", ", sequences, " x ", tokens,
                        " at context ", context),
           seconds, read, 4.0 * attended * kHeads * kHeadDim);
  }

  // What it takes to start kernels that do next to nothing, each by itself and all as a graph.
  void Launches() {
    constexpr int64_t kKernels = 320, kWidth = 256;
    const Buffer x = Upload(Random(kWidth)), y = Upload(Random(kWidth));
    const auto add = [&] {
      for (int64_t i = 0; i < kKernels; ++i) {
        AddInPlace(F32View(x.As<float>(), 1, kWidth), F32View(y.As<float>(), 1, kWidth), device_);
      }
    };
    const double launched = Time(add) / kKernels;
    const int64_t free_bytes = device_.Memory().free_bytes;
    CudaGraphs graphs(AsCuda(device_));
    const double replayed = Time([&] { graphs.Run(0, add); }) / kKernels;
    const int64_t taken = free_bytes - device_.Memory().free_bytes;
    std::printf("%-44s %9.2f us each\n", "320 small kernels, launched", launched * 1e6);
    std::printf("%-44s %9.2f us each, %.2f MiB\n", "320 small kernels, as a graph", replayed * 1e6,
                static_cast<double>(taken) / 1048576.0);
  }

 private:
  // Over matrices enough that none is in the cache when its turn comes.
  void Multiply(absl::string_view format, int64_t outputs, int64_t inputs, int64_t rows,
                const std::function<PackedMatrix()>& make) {
    std::vector<PackedMatrix> matrices;
    for (int64_t bytes = 0; bytes < kStreamBytes; bytes += matrices.back().bytes()) {
      matrices.push_back(make());
    }
    const Buffer x = Upload(Random(rows * inputs)), y = Take(device_, rows * outputs * 4);
    const Buffer scratch = Take(device_, InputPiecesBytes(rows, inputs));
    const double seconds = Time([&] {
                             for (const PackedMatrix& matrix : matrices) {
                               MatMul(F32View(x.As<float>(), rows, inputs), matrix, nullptr,
                                      F32View(y.As<float>(), rows, outputs), device_, scratch);
                             }
                           }) /
                           static_cast<double>(matrices.size());
    const std::string name = absl::StrCat("product ", format, " ", outputs, " x ", inputs, ", ",
                                          rows, rows == 1 ? " row" : " rows");
    Report(name, seconds, static_cast<double>(matrices[0].bytes()),
           2.0 * static_cast<double>(rows * outputs * inputs));
  }

  // Seconds of one `run`, after one that does not count.
  double Time(const std::function<void()>& run) {
    using Clock = std::chrono::steady_clock;
    const auto round = [&](int64_t count) {
      const auto start = Clock::now();
      for (int64_t i = 0; i < count; ++i) run();
      CHECK(device_.Finish().ok()) << device_.status();
      return std::chrono::duration<double>(Clock::now() - start).count();
    };
    round(1);
    const double once = round(1);
    const int64_t count = std::clamp<int64_t>(static_cast<int64_t>(seconds_ / once), 1, 10000);
    return round(count) / static_cast<double>(count);
  }

  void Report(const std::string& name, double seconds, double bytes, double operations) const {
    std::printf("%-44s %9.1f us  %7.1f GB/s  %5.1f%% of the copy  %8.2f TFLOP/s\n", name.c_str(),
                seconds * 1e6, bytes / seconds / 1e9, 100 * bytes / seconds / copy_rate_,
                operations / seconds / 1e12);
  }

  std::vector<float> Random(int64_t count) {
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> values(count);
    for (float& value : values) value = uniform(random_);
    return values;
  }

  Buffer Upload(const std::vector<float>& values) {
    const int64_t count = static_cast<int64_t>(values.size());
    Buffer buffer = Take(device_, count * 4);
    CHECK(
        device_.CopyFromHost(F32View(buffer.As<float>(), 1, count), values.data(), count * 4).ok());
    return buffer;
  }

  Device& device_;
  const double seconds_;
  std::minstd_rand random_{1};
  double copy_rate_ = 1;
};

int Main(int argc, char** argv) {
  CLI::App app("Measures the kernels on a card");
  int card = 0;
  double seconds = 0.5;
  app.add_option("--device", card);
  app.add_option("--seconds", seconds, "of each measurement");
  CLI11_PARSE(app, argc, argv);
  auto device = Device::CreateCuda(card);
  if (!device.ok()) {
    std::printf("SKIPPED: no CUDA device: %s\n", std::string(device.status().message()).c_str());
    return 77;
  }
  std::printf("%s\n", std::string((*device)->name()).c_str());
  Bench bench(**device, seconds);
  bench.Launches();
  bench.Copy();
  bench.HostCopies();
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    for (const auto& [outputs, inputs] : {std::pair{4096, 4096}, {14336, 4096}, {4096, 14336}}) {
      bench.Product(outputs, inputs, dtype, 1);
    }
  }
  for (const int64_t bits : {8, 4}) {
    for (const auto& [outputs, inputs] : {std::pair{4096, 4096}, {14336, 4096}, {4096, 14336}}) {
      bench.IntegerProduct(outputs, inputs, bits, 1);
    }
  }
  for (const int64_t rows : {4, 16, 64, 256, 1024}) {
    bench.Product(14336, 4096, DType::kBF16, rows);
    bench.Product(14336, 4096, DType::kF16, rows);
    bench.IntegerProduct(14336, 4096, 4, rows);
  }
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    for (const int64_t context : {1024, 4096, 32768}) bench.Attend(context, 1, 1, dtype);
    bench.Attend(1024, 1, 16, dtype);
    for (const int64_t context : {512, 4096, 32768}) bench.Attend(context, 512, 1, dtype);
  }
  return 0;
}

}  // namespace
}  // namespace layercake

int main(int argc, char** argv) { return layercake::Main(argc, argv); }
