// A checkpoint's forward pass on this machine, in one process and one stage: tokens per second of
// prompts and of generation, and time to load.
//
//   decoder_bench MODEL_DIR [--threads N | --device CARD [--cuda-graphs auto|off]
//                 [--dense-products own|cublaslt]] [--kv f32|f16]
//                 [--weights int8|int4] [--sequences 16] [--load-only] [--processor-time]
//
// Tokens are arbitrary, weights may be: speed depends on shapes alone. Best of three runs each.
// With --processor-time and one thread, on a machine that others use: what it would do alone.

#include <sys/resource.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/logging.h"
#include "common/model/checkpoint.h"
#include "worker/device/cublas_lt.h"
#include "worker/device/cuda_device.h"
#include "worker/device/device.h"
#include "worker/engine/kv_cache.h"
#include "worker/engine/row_sampler.h"
#include "worker/model/decoder.h"

namespace layercake {
namespace {

constexpr int64_t kMaxContext = 2304;

struct Model {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Device> device;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<KvCache> kv;
  StageLimits limits;
  clockid_t clock = CLOCK_MONOTONIC;
  RowSampler sampler;
};

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  CHECK(value.ok()) << value.status();
  return *std::move(value);
}

double Now(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double Best(const Model& model, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 3; ++i) {
    const double start = Now(model.clock);
    run();
    best = std::min(best, Now(model.clock) - start);
  }
  return best;
}

// One step of `sequences` slices of `tokens` each, at `position`; greedy tokens of all.
void Step(Model& model, int64_t sequences, int64_t position, int64_t tokens) {
  const int64_t blocks_each = kMaxContext / model.limits.block_size_tokens;
  const int64_t shared = model.kv->num_blocks() / blocks_each;
  std::vector<std::vector<int32_t>> blocks(sequences);
  std::vector<SliceView> slices;
  std::vector<int32_t> ids(sequences * tokens), rows;
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(17 * i % 1000);
  for (int64_t s = 0; s < sequences; ++s) {
    blocks[s].resize(blocks_each);
    std::iota(blocks[s].begin(), blocks[s].end(), s % shared * blocks_each);
    slices.push_back({position, tokens, blocks[s]});
    rows.push_back(static_cast<int32_t>((s + 1) * tokens - 1));
  }
  CHECK(model.decoder->Embed(ids).ok());
  CHECK(model.decoder->Forward(slices, model.kv->layers()).ok());
  const TensorView logits = OrDie(model.decoder->Logits(rows));
  const SamplingSettings greedy = {.temperature = 0};
  const std::vector<RowRequest> requests(sequences, {.sampling = &greedy, .position = position});
  std::vector<RowResult> results(sequences);
  CHECK(model.sampler.Run(logits, requests, results, *model.device).ok());
  for (const RowResult& result : results) CHECK(result.status.ok());
}

void Prompt(Model& model, int64_t length) {
  const int64_t chunk = model.limits.max_step_tokens;
  for (int64_t p = 0; p < length; p += chunk) Step(model, 1, p, std::min(chunk, length - p));
}

void Report(Model& model) {
  for (const int64_t length : {512, 2048}) {
    const double seconds = Best(model, [&] { Prompt(model, length); });
    std::printf("prompt %5ld              %9.1f tokens/s\n", static_cast<long>(length),
                static_cast<double>(length) / seconds);
  }
  const double bytes = static_cast<double>(model.decoder->weight_bytes() -
                                           EmbeddingWeightBytes(model.checkpoint->config()));
  for (const int64_t sequences : {1, 4, 8, 16, 64}) {
    if (sequences > model.limits.max_batch_sequences) break;
    const double seconds = Best(model,
                                [&] {
                                  for (int64_t i = 0; i < 8; ++i) Step(model, sequences, 64 + i, 1);
                                }) /
                           8;
    std::printf("generate %3ld sequence(s)   %9.1f tokens/s   %5.1f GB/s of weights\n",
                static_cast<long>(sequences), static_cast<double>(sequences) / seconds,
                bytes / seconds / 1e9);
  }
  const double seconds = Best(model,
                              [&] {
                                for (int64_t i = 0; i < 8; ++i) Step(model, 1, 2048 + i, 1);
                              }) /
                         8;
  std::printf("generate at context 2048  %9.1f tokens/s\n", 1 / seconds);
}

int Main(int argc, char** argv) {
  CLI::App app("Measures a checkpoint's forward pass");
  std::string directory, kv_type = "f16", graphs = "auto", products = "own", weights;
  int threads = 1, card = -1;
  app.add_option("MODEL_DIR", directory)->required();
  app.add_option("--threads", threads);
  app.add_option("--device", card, "index of a CUDA device; default the CPU");
  app.add_option("--cuda-graphs", graphs)->check(CLI::IsMember({"auto", "off"}));
  app.add_option("--dense-products", products)->check(CLI::IsMember({"own", "cublaslt"}));
  app.add_option("--weights", weights, "make the checkpoint's so while loading")
      ->check(CLI::IsMember({"int8", "int4"}));
  int64_t sequences = 16;
  app.add_option("--sequences", sequences, "most in one step")->check(CLI::PositiveNumber);
  app.add_option("--kv", kv_type)->check(CLI::IsMember({"f32", "f16"}));
  bool processor_time = false, load_only = false;
  app.add_flag("--load-only", load_only);
  app.add_flag("--processor-time", processor_time);
  CLI11_PARSE(app, argc, argv);
  Model model;
  if (processor_time) model.clock = CLOCK_PROCESS_CPUTIME_ID;
  model.limits.max_context_tokens = kMaxContext;
  model.limits.max_batch_sequences = sequences;
  model.limits.kv_dtype = kv_type == "f32" ? DType::kF32 : DType::kF16;
  model.device = OrDie(card < 0 ? Device::CreateCpu(threads) : Device::CreateCuda(card));
  if (card >= 0) {
    CudaDevice& device = AsCuda(*model.device);
    device.set_use_graphs(graphs != "off");
    if (products == "cublaslt") {
      device.set_cublas_lt(OrDie(CublasLt::Create(*OrDie(LoadCublasLt()), device)));
    }
  }
  const double start = Now(model.clock);
  model.checkpoint = OrDie(Checkpoint::Open(directory));
  if (!weights.empty()) {
    model.checkpoint->HoldWeightsAs(weights == "int8" ? v1::WEIGHT_TYPE_INT8
                                                      : v1::WEIGHT_TYPE_INT4);
  }
  const ModelConfig& config = model.checkpoint->config();
  model.decoder =
      OrDie(Decoder::Load(*model.checkpoint, {0, config.num_layers, true, true}, model.limits,
                          *model.device, [](int64_t, int64_t) { return true; }));
  model.sampler =
      OrDie(RowSampler::Create(sequences, model.checkpoint->config().vocab_size, *model.device));
  model.kv =
      OrDie(KvCache::Create(config, config.num_layers, model.limits,
                            2 * kMaxContext / model.limits.block_size_tokens, *model.device));
  CHECK(model.device->Finish().ok()) << model.device->status();
  const double load_seconds = Now(model.clock) - start;
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const double weight_bytes = static_cast<double>(model.decoder->weight_bytes());
  std::printf("load %.2f s, %.2f GB/s, peak memory %.2f GB, weights %.2f GB\n", load_seconds,
              weight_bytes / load_seconds / 1e9, usage.ru_maxrss / 1048576.0, weight_bytes / 1e9);
  if (load_only) return 0;
  const int64_t free_bytes = model.device->Memory().free_bytes;
  Report(model);
  if (card >= 0) {
    std::printf("taken of the card after loading  %.1f MiB\n",
                static_cast<double>(free_bytes - model.device->Memory().free_bytes) / 1048576.0);
  }
  return 0;
}

}  // namespace
}  // namespace layercake

int main(int argc, char** argv) { return layercake::Main(argc, argv); }
