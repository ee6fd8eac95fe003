// What the planner predicts of a stage, against the stage: bytes, and seconds of steps.
//
//   prediction_bench MODEL_DIR [--threads N] [--kv f32|f16] [--weights f32|bf16|f16|int8|int4]
//                    [--profile measure|cached]
//
// Profiles this device as a worker does, loads stages of the checkpoint as a worker does (all
// layers; the first half; the second), and runs decode steps of several batches and contexts and
// prompt steps of several lengths on them. Weights may be random: time depends on shapes alone.
// Exit code 1 if bytes differ by more than 1%, or the median error of times is above 10%.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/model/checkpoint.h"
#include "common/model/weight_type.h"
#include "coordinator/placement/cost_model.h"
#include "worker/device/device.h"
#include "worker/engine/stage_executor.h"
#include "worker/profile/cpu_allowance.h"
#include "worker/profile/profile.h"

namespace layercake {
namespace {

constexpr int64_t kMaxContext = 2048;
constexpr int kSlowestRuns = 3;
constexpr int kQuotaPeriods = 20;  // at least, so that whole ones are nearly all

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  CHECK(value.ok()) << value.status();
  return *std::move(value);
}

// The other stages: activations at once, unlike ones, as routers would see them; and nobody who
// waits for them.
class NoNeighbour final : public ActivationSource, public ActivationSink {
 public:
  absl::Status Receive(uint64_t step_id, const TensorView& to) override {
    std::minstd_rand random(static_cast<uint32_t>(step_id));
    std::uniform_real_distribution<float> activation(-1, 1);
    for (int64_t row = 0; row < to.rows; ++row) {
      std::generate_n(to.Row(row), to.cols, [&] { return activation(random); });
    }
    return absl::OkStatus();
  }
  void Close(const absl::Status&) override {}
  absl::Status Send(uint64_t, const TensorView&) override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Cancel() override {}
};

struct Case {
  std::string name;
  int64_t sequences;
  int64_t position;
  int64_t tokens;  // of each
};

std::vector<Case> Cases(int64_t max_context) {
  std::vector<Case> cases;
  for (const int64_t context : {int64_t{64}, int64_t{512}, int64_t{2048}}) {
    if (context > max_context) continue;
    for (const int64_t batch : {1, 4, 8, 16}) {
      cases.push_back({absl::StrCat("decode ", batch, " at ", context), batch, context - 1, 1});
    }
  }
  for (const int64_t tokens : {64, 256}) {
    cases.push_back({absl::StrCat("prompt ", tokens), 1, 0, tokens});
  }
  if (max_context >= 1024) cases.push_back({"prompt 256 after 768", 1, 768, 256});
  return cases;
}

class StageBench {
 public:
  StageBench(const Checkpoint& checkpoint, const LayerRange& range, DType kv_dtype, Device& device)
      : config_(checkpoint.config()),
        stage_(Load(checkpoint, range, kv_dtype, device)),
        cost_(config_, stage_->shape().limits) {
    stage_->StartEpoch(1);
  }

  double Measure(const Case& c) {
    const CpuAllowance allowance = CpuAllowance::Current();
    const double enough = std::max(0.4, kQuotaPeriods * allowance.period_seconds);
    std::vector<double> times;
    double total = 0;
    while (static_cast<int>(times.size()) < kSlowestRuns || total < enough) {
      times.push_back(absl::ToDoubleSeconds(RunOnce(c)));
      total += times.back();
    }
    // Under a quota a step's time is that of a burst, or of a burst and a pause: all of them count.
    std::ranges::sort(times);
    const size_t cut = allowance.quota > 0 ? 0 : times.size() / 10;
    double sum = 0;
    for (size_t i = cut; i < times.size() - cut; ++i) sum += times[i];
    return sum / static_cast<double>(times.size() - 2 * cut);
  }
  double Predict(const Case& c, const DeviceSpeed& speed) const {
    const std::vector<StepSlice> slices(
        c.sequences, {.position = c.position, .num_tokens = c.tokens, .sampled = true});
    const LayerRange& range = stage_->shape().range;
    return cost_.StepSeconds(speed, static_cast<int>(range.first_layer),
                             static_cast<int>(range.num_layers), slices);
  }
  int64_t PredictBytes() const {
    const LayerRange& range = stage_->shape().range;
    const int first = static_cast<int>(range.first_layer);
    const int count = static_cast<int>(range.num_layers);
    return cost_.WeightBytes(first, count) + cost_.WorkspaceBytes(first, count) +
           cost_.BlockBytes(first, count) * stage_->shape().num_blocks;
  }
  int64_t bytes() const { return stage_->bytes().total(); }
  int64_t max_context() const { return stage_->shape().limits.max_context_tokens; }

 private:
  static std::unique_ptr<StageExecutor> Load(const Checkpoint& checkpoint, const LayerRange& range,
                                             DType kv_dtype, Device& device) {
    StageShape shape{.range = range};
    shape.limits.max_context_tokens = std::min(kMaxContext, checkpoint.config().max_context_tokens);
    shape.limits.kv_dtype = kv_dtype;
    shape.num_blocks = shape.limits.max_batch_sequences * shape.limits.max_context_tokens /
                       shape.limits.block_size_tokens;
    return OrDie(StageExecutor::Load(checkpoint, shape, device, *Clock::Real(),
                                     [](int64_t, int64_t) { return true; }));
  }

  absl::Duration RunOnce(const Case& c) {
    const StageShape& shape = stage_->shape();
    StepRequest step{.epoch = 1, .step_id = ++step_id_};
    const int64_t blocks_each = shape.limits.max_context_tokens / shape.limits.block_size_tokens;
    std::vector<std::vector<int32_t>> blocks(c.sequences);
    for (int64_t s = 0; s < c.sequences; ++s) {
      const int64_t last = c.position + c.tokens - 1;
      for (int64_t b = 0; b <= last / shape.limits.block_size_tokens; ++b) {
        blocks[s].push_back(static_cast<int32_t>(s * blocks_each + b));
      }
      SliceRequest slice{.view = {c.position, c.tokens, blocks[s]}, .sample = true};
      slice.sampling.seed = step_id_;
      step.slices.push_back(slice);
    }
    std::vector<int32_t> ids(c.sequences * c.tokens);
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>(17 * (i + step_id_) % 1000);
    step.token_ids = ids;
    NoNeighbour neighbour;
    const StageLinks links = {shape.range.has_embedding ? nullptr : &neighbour,
                              shape.range.has_head ? nullptr : &neighbour};
    return OrDie(stage_->Run(step, links)).compute_time;
  }

  const ModelConfig config_;
  const std::unique_ptr<StageExecutor> stage_;
  const CostModel cost_;
  uint64_t step_id_ = 0;
};

int Main(int argc, char** argv) {
  CLI::App app("Compares predicted with real bytes and times of stages");
  static const std::map<std::string, v1::WeightType> kWeightTypes = {
      {"f32", v1::WEIGHT_TYPE_F32},
      {"bf16", v1::WEIGHT_TYPE_BF16},
      {"f16", v1::WEIGHT_TYPE_F16},
      {"int8", v1::WEIGHT_TYPE_INT8},
      {"int4", v1::WEIGHT_TYPE_INT4}};
  std::string directory, kv_type = "f16", mode = "measure";
  v1::WeightType weights = v1::WEIGHT_TYPE_UNSPECIFIED;
  int threads = 1;
  app.add_option("MODEL_DIR", directory)->required();
  app.add_option("--threads", threads);
  app.add_option("--kv", kv_type)->check(CLI::IsMember({"f32", "f16"}));
  app.add_option("--weights", weights)->transform(CLI::Transformer(kWeightTypes));
  app.add_option("--profile", mode);
  CLI11_PARSE(app, argc, argv);
  const auto device = OrDie(Device::CreateCpu(threads));
  const v1::DeviceProfile profile =
      OrDie(GetProfile(mode, *device, MeasureLimits(), DefaultProfileCachePath()));
  v1::Device kind;
  kind.set_kind(v1::DEVICE_KIND_CPU);
  const DeviceSpeed speed = SpeedOf(kind, profile);
  const auto checkpoint = OrDie(Checkpoint::Open(directory));
  if (weights != v1::WEIGHT_TYPE_UNSPECIFIED) {
    const absl::Status makeable = CheckMakeable(checkpoint->config(), weights);
    CHECK(makeable.ok()) << makeable;
    checkpoint->HoldWeightsAs(weights);
  }
  const int64_t layers = checkpoint->config().num_layers;
  const DType kv_dtype = kv_type == "f32" ? DType::kF32 : DType::kF16;
  std::vector<double> errors;
  double bytes_error = 0;
  std::printf("%-24s %-22s %12s %12s %8s\n", "stage", "step", "predicted", "real", "error");
  for (const LayerRange& range :
       {LayerRange{0, layers, true, true}, LayerRange{0, layers / 2, true, false},
        LayerRange{layers / 2, layers - layers / 2, false, true}}) {
    StageBench bench(*checkpoint, range, kv_dtype, *device);
    const std::string name =
        absl::StrCat("layers ", range.first_layer, "-", range.first_layer + range.num_layers - 1,
                     range.has_head ? " + head" : "");
    const double real_bytes = static_cast<double>(bench.bytes());
    const double byte_error = static_cast<double>(bench.PredictBytes()) / real_bytes - 1;
    bytes_error = std::max(bytes_error, std::abs(byte_error));
    std::printf("%-24s %-22s %9.2f MB %9.2f MB %+7.2f%%\n", name.c_str(), "bytes",
                static_cast<double>(bench.PredictBytes()) / 1e6, real_bytes / 1e6,
                100 * byte_error);
    for (const Case& c : Cases(bench.max_context())) {
      const double predicted = bench.Predict(c, speed);
      const double real = bench.Measure(c);
      errors.push_back(std::abs(predicted / real - 1));
      std::printf("%-24s %-22s %9.3f ms %9.3f ms %+7.1f%%\n", name.c_str(), c.name.c_str(),
                  1e3 * predicted, 1e3 * real, 100 * (predicted / real - 1));
    }
  }
  std::ranges::sort(errors);
  const auto within = std::ranges::upper_bound(errors, 0.1) - errors.begin();
  const double median = errors[errors.size() / 2];
  std::printf(
      "%zu steps: median error %.1f%%, 90%% of them within %.1f%%, worst %.1f%%; %ld within "
      "10%%; bytes within %.2f%%\n",
      errors.size(), 100 * median, 100 * errors[errors.size() * 9 / 10], 100 * errors.back(),
      static_cast<long>(within), 100 * bytes_error);
  return median <= 0.1 && bytes_error <= 0.01 ? 0 : 1;
}

}  // namespace
}  // namespace layercake

int main(int argc, char** argv) { return layercake::Main(argc, argv); }
