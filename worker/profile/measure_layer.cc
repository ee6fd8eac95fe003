#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/base/status_macros.h"
#include "common/model/costs.h"
#include "worker/engine/kv_cache.h"
#include "worker/engine/row_sampler.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/elementwise.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/kernels/prepare_attention.h"
#include "worker/kernels/step_table.h"
#include "worker/profile/issued_time.h"
#include "worker/profile/measure.h"
#include "worker/profile/stopwatch.h"

namespace layercake {
namespace {

// A sequence of blocks on enough layers that their keys and values fill no cache's next round.
struct Sequence {
  static constexpr int64_t kBlockTokens = 16;

  static absl::StatusOr<Sequence> Create(int64_t tokens, int64_t num_kv_heads, int64_t head_dim,
                                         int64_t num_layers, DType format, Device& device) {
    ModelConfig config;
    config.num_kv_heads = num_kv_heads;
    config.head_dim = head_dim;
    const StageLimits limits = {
        .max_context_tokens = tokens, .block_size_tokens = kBlockTokens, .kv_dtype = format};
    Sequence sequence;
    LC_ASSIGN_OR_RETURN(sequence.cache,
                        KvCache::Create(config, num_layers, limits, tokens / kBlockTokens, device));
    LC_ASSIGN_OR_RETURN(sequence.table, StepTable::Create(limits, /*heads_per_kv_head=*/1, device));
    sequence.blocks.resize(tokens / kBlockTokens);
    std::iota(sequence.blocks.begin(), sequence.blocks.end(), 0);
    return sequence;
  }

  // `slice` as the kernels want it. What fails is in the device's status().
  StepView Step(const SliceView& slice, Device& device) {
    return table.Set({&slice, 1}, device).value_or(StepView());
  }

  std::unique_ptr<KvCache> cache;
  std::vector<int32_t> blocks;
  StepTable table;
};

void Fill(std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.01f * static_cast<float>(i % 61);
}

absl::StatusOr<Buffer> TakeFilled(int64_t values, Device& device) {
  LC_ASSIGN_OR_RETURN(Buffer buffer, device.Allocate(values * 4, "measuring"));
  std::vector<float> filled(values);
  Fill(filled);
  LC_RETURN_IF_ERROR(
      device.CopyFromHost(F32View(buffer.As<float>(), 1, values), filled.data(), values * 4));
  return buffer;
}

// The host's threads that kernels are divided over: beside a card they do other things.
int ThreadsOfKernels(const Device& device) {
  return device.kind() == DeviceKind::kCpu ? device.num_threads() : 1;
}

// A layer without its four large products: kernels in the order of the forward pass.
class BareLayer {
 public:
  struct Shape {
    int64_t rows;
    int64_t hidden_dim;
    int64_t intermediate_dim;
    int64_t num_heads;
    int64_t num_kv_heads;
  };
  static constexpr int64_t kHeadDim = 64;

  static absl::StatusOr<BareLayer> Create(const Shape& shape, Device& device) {
    BareLayer layer(shape, device);
    LC_ASSIGN_OR_RETURN(layer.hidden_, TakeFilled(shape.rows * shape.hidden_dim, device));
    LC_ASSIGN_OR_RETURN(layer.normed_, TakeFilled(shape.rows * shape.hidden_dim, device));
    LC_ASSIGN_OR_RETURN(layer.qkv_, TakeFilled(shape.rows * layer.QkvCols(), device));
    LC_ASSIGN_OR_RETURN(layer.gate_up_,
                        TakeFilled(shape.rows * 2 * shape.intermediate_dim, device));
    LC_ASSIGN_OR_RETURN(layer.angles_, TakeFilled(shape.rows * kHeadDim, device));
    LC_ASSIGN_OR_RETURN(layer.norm_, TakeFilled(shape.hidden_dim, device));
    LC_ASSIGN_OR_RETURN(layer.sequence_,
                        Sequence::Create(shape.rows + Sequence::kBlockTokens, shape.num_kv_heads,
                                         kHeadDim, 1, DType::kF16, device));
    return layer;
  }

  // What a step has ready before its layers. REQUIRES: the layer is not moved any more.
  void Prepare() {
    slices_ = {{0, shape_.rows, sequence_.blocks}};
    step_ = sequence_.table.Set(slices_, device_).value_or(StepView());
  }
  void AroundAttention() {
    AddAndNorm();
    PrepareAttention(F32View(qkv_.As<float>(), shape_.rows, QkvCols()), HeadNorms(),
                     F32View(angles_.As<float>(), shape_.rows, kHeadDim), step_,
                     sequence_.cache->layers()[0], device_);
  }
  void Attend() {
    const int64_t q_cols = shape_.num_heads * kHeadDim;
    PagedAttention(F32View(qkv_.As<float>(), shape_.rows, QkvCols()).Columns(0, q_cols), step_,
                   sequence_.cache->layers()[0], 0.125f,
                   F32View(gate_up_.As<float>(), shape_.rows, q_cols), device_);
  }
  void AroundFeedForward() {
    AddAndNorm();
    const TensorView gate_up =
        F32View(gate_up_.As<float>(), shape_.rows, 2 * shape_.intermediate_dim);
    SwiGluInPlace(gate_up.Columns(0, shape_.intermediate_dim),
                  gate_up.Columns(shape_.intermediate_dim, shape_.intermediate_dim), device_);
  }

  // As the cost model counts them: norms and sums, rotated and stored columns, both gate halves.
  double Values() const {
    return static_cast<double>(shape_.rows *
                               (4 * shape_.hidden_dim + QkvCols() + 2 * shape_.intermediate_dim));
  }

 private:
  BareLayer(const Shape& shape, Device& device) : shape_(shape), device_(device) {}

  int64_t QkvCols() const { return (shape_.num_heads + 2 * shape_.num_kv_heads) * kHeadDim; }
  TensorView Hidden(const Buffer& buffer) const {
    return F32View(buffer.As<float>(), shape_.rows, shape_.hidden_dim);
  }
  void AddAndNorm() {
    const TensorView normed = Hidden(normed_);
    AddRmsNorm(Hidden(hidden_), normed, norm_.As<float>(), 1e-5f, normed, device_);
  }

  const Shape shape_;
  Device& device_;
  Buffer hidden_, normed_, qkv_, gate_up_, angles_, norm_;
  Sequence sequence_;
  std::vector<SliceView> slices_;
  StepView step_;
};

}  // namespace

absl::Status MeasureLayer(Device& device, const MeasureLimits& limits, v1::DeviceProfile* profile) {
  const int threads = ThreadsOfKernels(device);
  // Next to nothing to compute, but a piece of each product for every thread.
  LC_ASSIGN_OR_RETURN(BareLayer tiny, BareLayer::Create({.rows = 1,
                                                         .hidden_dim = 64,
                                                         .intermediate_dim = 64,
                                                         .num_heads = threads,
                                                         .num_kv_heads = threads},
                                                        device));
  constexpr int64_t kTinyInputs = 16;
  const int64_t outputs = kPanelOutputs * std::max(2, threads);
  LC_ASSIGN_OR_RETURN(
      const PackedMatrix matrix,
      PackedMatrix::Create(outputs, kTinyInputs, DType::kBF16, device, "measuring"));
  LC_ASSIGN_OR_RETURN(const Buffer x, device.Allocate(kTinyInputs * 4, "measuring"));
  LC_ASSIGN_OR_RETURN(const Buffer out, device.Allocate(outputs * 4, "measuring"));
  const auto multiply = [&] {
    MatMul(F32View(x.As<float>(), 1, kTinyInputs), matrix, nullptr,
           F32View(out.As<float>(), 1, outputs), device);
  };
  tiny.Prepare();
  profile->set_layer_seconds(TimeIssued(device, limits.patience, Issued::kReplayed, 1, [&] {
    multiply();
    tiny.AroundAttention();
    tiny.Attend();
    multiply();
    multiply();
    tiny.AroundFeedForward();
    multiply();
  }));

  LC_ASSIGN_OR_RETURN(BareLayer wide, BareLayer::Create({.rows = 128,
                                                         .hidden_dim = 1024,
                                                         .intermediate_dim = 4096,
                                                         .num_heads = 16,
                                                         .num_kv_heads = 4},
                                                        device));
  wide.Prepare();
  const double seconds = TimeIssued(device, 2 * limits.patience, Issued::kOneByOne, 1, [&] {
    wide.AroundAttention();
    wide.AroundFeedForward();
  });
  profile->set_activation_values_per_second(wide.Values() / seconds);
  return absl::OkStatus();
}

absl::Status MeasureAttention(Device& device, const MeasureLimits& limits,
                              v1::DeviceProfile* profile) {
  constexpr int64_t kTokens = 1024, kHeadDim = 64;
  constexpr std::array kWorkingSets = {int64_t{8} << 20, int64_t{32} << 20, int64_t{128} << 20,
                                       int64_t{512} << 20};
  struct Rows {
    int64_t tokens, heads;
  };
  constexpr std::array kRows = {Rows{1, 1}, Rows{1, 2}, Rows{1, 4}, Rows{1, 8},
                                Rows{2, 8}, Rows{4, 8}, Rows{6, 8}};
  // Two pieces of work for each thread, so that none is cut further.
  const int64_t kv_heads = std::max(8, 2 * ThreadsOfKernels(device));
  LC_ASSIGN_OR_RETURN(const Buffer q, TakeFilled(6 * 8 * kv_heads * kHeadDim, device));
  LC_ASSIGN_OR_RETURN(const Buffer out, TakeFilled(6 * 8 * kv_heads * kHeadDim, device));
  for (const DType format : {DType::kF32, DType::kF16}) {
    const int64_t layer_bytes = 2 * kTokens * kv_heads * kHeadDim * DTypeBytes(format);
    int64_t measured = 0;
    for (const int64_t wanted : kWorkingSets) {
      const int64_t layers = std::max<int64_t>(1, std::min(wanted, limits.max_bytes) / layer_bytes);
      if (std::exchange(measured, layers) == layers) break;
      LC_ASSIGN_OR_RETURN(Sequence sequence,
                          Sequence::Create(kTokens, kv_heads, kHeadDim, layers, format, device));
      int64_t next = 0;
      for (const Rows& rows : kRows) {
        const int64_t cols = rows.heads * kv_heads * kHeadDim;
        const SliceView slice = {kTokens - rows.tokens, rows.tokens, sequence.blocks};
        const StepView step = sequence.Step(slice, device);
        const auto attend = [&] {
          PagedAttention(F32View(q.As<float>(), rows.tokens, cols), step,
                         sequence.cache->layers()[next++ % layers], 0.125f,
                         F32View(out.As<float>(), rows.tokens, cols), device);
        };
        while (next < layers) attend();  // once over all that it reads
        const double seconds =
            TimeIssued(device, limits.patience, Issued::kReplayed, layers, attend);
        v1::StreamRate* entry = profile->add_kv();
        entry->set_format(std::string(DTypeName(format)));
        entry->set_rows(static_cast<int32_t>(rows.tokens * rows.heads));
        entry->set_working_set_bytes(static_cast<uint64_t>(layers * layer_bytes));
        entry->set_bytes_per_second(static_cast<double>(layer_bytes) / seconds);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status MeasureSampler(Device& device, const MeasureLimits& limits,
                            v1::DeviceProfile* profile) {
  constexpr int64_t kVocabulary = 65536;
  constexpr int64_t kBytes = kVocabulary * static_cast<int64_t>(sizeof(float));
  std::vector<float> values(kVocabulary);
  Fill(values);
  LC_ASSIGN_OR_RETURN(const Buffer buffer, device.Allocate(kBytes, "logits"));
  LC_ASSIGN_OR_RETURN(RowSampler sampler, RowSampler::Create(1, kVocabulary, device));
  const TensorView logits = F32View(buffer.As<float>(), 1, kVocabulary);
  const SamplingSettings settings;
  absl::Status status;
  // Sampling may overwrite them.
  const auto fill = [&] { status.Update(device.CopyFromHost(logits, values.data(), kBytes)); };
  RowRequest request = {.sampling = &settings};
  const BusyClock clock = BusyClock::Of(device);
  const Timing timing = TimeRepeated(clock, limits.patience, [&] {
    fill();
    RowResult result;
    ++request.position;
    status.Update(sampler.Run(logits, {&request, 1}, {&result, 1}, device));
    status.Update(result.status);
  });
  const Timing filling = TimeRepeated(clock, limits.patience, fill);
  LC_RETURN_IF_ERROR(status);
  const double seconds = std::max(timing.typical_seconds - filling.typical_seconds, 1e-9);
  profile->set_logits_per_second(static_cast<double>(kVocabulary) / seconds);
  return absl::OkStatus();
}

}  // namespace layercake
