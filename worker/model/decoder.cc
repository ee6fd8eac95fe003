#include "worker/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/layer_shape.h"
#include "worker/device/cuda_graphs.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/elementwise.h"
#include "worker/kernels/embedding.h"
#include "worker/kernels/experts.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/prepare_attention.h"
#include "worker/kernels/step_table.h"
#include "worker/model/rotary.h"

namespace layercake {
namespace {

// One step's arrays, [max_step_tokens, cols] f32 but for the last two, which are
// [max_batch_sequences, cols].
struct Workspace {
  StepTable table;
  Buffer hidden;
  Buffer normed;  // also what a block adds to `hidden`
  Buffer qkv;
  Buffer attention;
  Buffer feed_forward;  // FeedForwardBytes of it
  Buffer products;      // ProductScratchBytes, for the products' own use
  Buffer angles;
  Buffer head_input;
  Buffer logits;
  int64_t bytes = 0;
};

absl::Status Take(Device& device, int64_t wanted, Buffer& buffer, int64_t& bytes) {
  if (wanted == 0) return absl::OkStatus();
  LC_ASSIGN_OR_RETURN(buffer, device.Allocate(wanted, "the workspace"));
  bytes += buffer.bytes();
  return absl::OkStatus();
}
absl::Status Take(Device& device, int64_t rows, int64_t cols, Buffer& buffer, int64_t& bytes) {
  return Take(device, rows * cols * static_cast<int64_t>(sizeof(float)), buffer, bytes);
}

absl::StatusOr<Workspace> TakeWorkspace(const ModelConfig& config, const LayerRange& range,
                                        const StageLimits& limits, Device& device) {
  Workspace w;
  LC_ASSIGN_OR_RETURN(w.table,
                      StepTable::Create(limits, config.num_heads / config.num_kv_heads, device));
  w.bytes = w.table.bytes();
  const int64_t tokens = limits.max_step_tokens;
  const int64_t heads = config.num_heads * config.head_dim;
  const int64_t qkv = heads + 2 * config.num_kv_heads * config.head_dim;
  LC_RETURN_IF_ERROR(Take(device, tokens, config.hidden_dim, w.hidden, w.bytes));
  LC_RETURN_IF_ERROR(Take(device, tokens, config.hidden_dim, w.normed, w.bytes));
  LC_RETURN_IF_ERROR(Take(device, tokens, qkv, w.qkv, w.bytes));
  LC_RETURN_IF_ERROR(Take(device, tokens, heads, w.attention, w.bytes));
  LC_RETURN_IF_ERROR(
      Take(device, FeedForwardBytes(config, range, tokens), w.feed_forward, w.bytes));
  LC_RETURN_IF_ERROR(Take(device, ProductScratchBytes(config, limits), w.products, w.bytes));
  LC_RETURN_IF_ERROR(Take(device, tokens, config.head_dim, w.angles, w.bytes));
  if (range.has_head) {
    const int64_t rows = limits.max_batch_sequences;
    LC_RETURN_IF_ERROR(Take(device, rows, config.hidden_dim, w.head_input, w.bytes));
    LC_RETURN_IF_ERROR(Take(device, rows, config.vocab_size, w.logits, w.bytes));
  }
  CHECK_EQ(w.bytes, WorkspaceBytes(config, range, limits)) << "costs.h does not count it";
  return w;
}

absl::Status CheckRange(const ModelConfig& config, const LayerRange& range,
                        const StageLimits& limits) {
  const int64_t end = range.first_layer + range.num_layers;
  if (range.first_layer < 0 || range.num_layers < 0 || end > config.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("layers ", range.first_layer, " to ", end - 1,
                                                   " asked for of a model of ", config.num_layers));
  }
  if (limits.max_step_tokens < 1 || limits.max_batch_sequences < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a step of ", limits.max_step_tokens, " tokens and ",
                     limits.max_batch_sequences, " sequences cannot run; both must be 1 or more"));
  }
  return absl::OkStatus();
}

}  // namespace

struct Decoder::State {
  State(const ModelConfig& config, const LayerRange& range, const StageLimits& limits,
        Device& device)
      : config(config), range(range), limits(limits), device(device), rotary(config) {}

  TensorView View(const Buffer& buffer, int64_t rows, int64_t cols) const {
    return F32View(buffer.As<float>(), rows, cols);
  }
  void Norm(const TensorView& x, const Buffer& weight, const TensorView& out) const {
    RmsNorm(x, weight.As<float>(), static_cast<float>(config.rms_norm_epsilon), out, device);
  }
  void Multiply(const TensorView& x, const Linear& linear, const TensorView& out) const {
    MatMul(x, linear.matrix, linear.bias.As<float>(), out, device, workspace.products);
  }

  absl::Status FillAngles(std::span<const SliceView> slices, int64_t rows);
  // Both take hidden's norm in `normed`, and leave there what is to be added to hidden.
  void Attend(const LayerWeights& layer, const StepView& step, const KvLayer& kv, int64_t rows);
  void FeedForward(const LayerWeights& layer, int64_t rows);
  void Experts(const LayerWeights& layer, int64_t rows);
  // Adds what is in `normed` to hidden, and leaves hidden's norm there.
  void AddAndNorm(const Buffer& weight, int64_t rows);
  void RunLayers(const StepView& step, std::span<const KvLayer> kv, int64_t rows);
  // The same of a step whose slices are a token each, which may have been recorded.
  void ReplayLayers(const StepView& step, std::span<const KvLayer> kv, int64_t rows);

  const ModelConfig config;
  const LayerRange range;
  const StageLimits limits;
  Device& device;
  const Rotary rotary;
  StageWeights weights;
  Workspace workspace;
  std::vector<float> angles;  // of the step, on their way to the device
  std::optional<CudaGraphs> graphs;
  std::vector<KvLayer> recorded_kv;  // that the graphs use
};

absl::Status Decoder::State::FillAngles(std::span<const SliceView> slices, int64_t rows) {
  const int64_t head_dim = config.head_dim;
  angles.resize(rows * head_dim);
  float* first = angles.data();
  for (const SliceView& slice : slices) {
    device.pool().ParallelFor(slice.num_tokens, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        rotary.FillAngles(slice.position + i, first + i * head_dim);
      }
    });
    first += slice.num_tokens * head_dim;
  }
  return device.CopyFromHost(View(workspace.angles, rows, head_dim), angles.data(),
                             rows * head_dim * sizeof(float));
}

void Decoder::State::Attend(const LayerWeights& layer, const StepView& step, const KvLayer& kv,
                            int64_t rows) {
  const int64_t q_cols = config.num_heads * config.head_dim;
  const int64_t kv_cols = config.num_kv_heads * config.head_dim;
  const TensorView normed = View(workspace.normed, rows, config.hidden_dim);
  const TensorView qkv = View(workspace.qkv, rows, q_cols + 2 * kv_cols);
  const TensorView attention = View(workspace.attention, rows, q_cols);
  Multiply(normed, layer.qkv, qkv);
  const HeadNorms norms = {layer.q_norm.As<float>(), layer.k_norm.As<float>(),
                           static_cast<float>(config.rms_norm_epsilon)};
  PrepareAttention(qkv, norms, View(workspace.angles, rows, config.head_dim), step, kv, device);
  const float scale = 1 / std::sqrt(static_cast<float>(config.head_dim));
  PagedAttention(qkv.Columns(0, q_cols), step, kv, scale, attention, device);
  Multiply(attention, layer.output, normed);
}

void Decoder::State::FeedForward(const LayerWeights& layer, int64_t rows) {
  if (layer.router.outputs() > 0) return Experts(layer, rows);
  const int64_t inner = config.intermediate_dim;
  const TensorView normed = View(workspace.normed, rows, config.hidden_dim);
  const TensorView gate_up = View(workspace.feed_forward, rows, 2 * inner);
  Multiply(normed, layer.gate_up, gate_up);
  SwiGluInPlace(gate_up.Columns(0, inner), gate_up.Columns(inner, inner), device);
  Multiply(gate_up.Columns(0, inner), layer.down, normed);
}

void Decoder::State::Experts(const LayerWeights& layer, int64_t rows) {
  const MixtureOfExperts& experts = *config.experts;
  const int64_t inner = experts.expert_dim, routed = rows * experts.experts_per_token;
  char* at = workspace.feed_forward.As<char>();
  const auto take = [&](int64_t count, int64_t cols) {
    const TensorView view = F32View(reinterpret_cast<float*>(at), count, cols);
    at += AllocatedBytes(count * cols * static_cast<int64_t>(sizeof(float)));
    return view;
  };
  const TensorView gate_up = take(routed, 2 * inner);
  const TensorView of_tokens = take(routed, config.hidden_dim);
  const TensorView scores = take(rows, experts.num_experts);
  const ExpertRoutes routes = RoutesIn(at, experts, rows);
  DCHECK_LE(at + RoutesBytes(config, rows),
            workspace.feed_forward.As<char>() + workspace.feed_forward.bytes());
  const TensorView normed = View(workspace.normed, rows, config.hidden_dim);
  MatMul(normed, layer.router, nullptr, scores, device);
  Route(scores, experts.renormalized, routes, device);
  GatherRows(normed, routes, of_tokens, device);
  MatMulExperts(of_tokens, layer.gate_up.matrix, routes, gate_up, device, workspace.products);
  SwiGluInPlace(gate_up.Columns(0, inner), gate_up.Columns(inner, inner), device);
  MatMulExperts(gate_up.Columns(0, inner), layer.down.matrix, routes, of_tokens, device,
                workspace.products);
  CombineRows(of_tokens, routes, normed, device);
}

void Decoder::State::AddAndNorm(const Buffer& weight, int64_t rows) {
  const TensorView normed = View(workspace.normed, rows, config.hidden_dim);
  AddRmsNorm(View(workspace.hidden, rows, config.hidden_dim), normed, weight.As<float>(),
             static_cast<float>(config.rms_norm_epsilon), normed, device);
}

void Decoder::State::RunLayers(const StepView& step, std::span<const KvLayer> kv, int64_t rows) {
  const std::vector<LayerWeights>& layers = weights.layers;
  const TensorView hidden = View(workspace.hidden, rows, config.hidden_dim);
  const TensorView normed = View(workspace.normed, rows, config.hidden_dim);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (i == 0) Norm(hidden, layers[i].attention_norm, normed);
    Attend(layers[i], step, kv[i], rows);
    AddAndNorm(layers[i].mlp_norm, rows);
    FeedForward(layers[i], rows);
    if (i + 1 < layers.size()) {
      AddAndNorm(layers[i + 1].attention_norm, rows);
    } else {
      AddInPlace(hidden, normed, device);
    }
  }
}

void Decoder::State::ReplayLayers(const StepView& step, std::span<const KvLayer> kv, int64_t rows) {
  if (!std::equal(kv.begin(), kv.end(), recorded_kv.begin(), recorded_kv.end())) {
    graphs->Clear();
    recorded_kv.assign(kv.begin(), kv.end());
  }
  // All else that launches depend on is the same for every step of the stage, or in the device's
  // memory by now.
  const uint64_t key =
      static_cast<uint64_t>(rows) << 32 | static_cast<uint32_t>(step.on_device->num_positions);
  graphs->Run(key, [&] { RunLayers(step, kv, rows); });
}

Decoder::Decoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decoder::~Decoder() = default;

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Load(const Checkpoint& checkpoint,
                                                       const LayerRange& range,
                                                       const StageLimits& limits, Device& device,
                                                       LoadProgress progress) {
  const ModelConfig& config = checkpoint.config();
  LC_RETURN_IF_ERROR(CheckRange(config, range, limits));
  if (device.kind() == DeviceKind::kCuda && config.head_dim > kMaxCudaHeadDim) {
    return absl::UnimplementedError(absl::StrCat("heads of ", config.head_dim, " dimensions; on ",
                                                 "CUDA devices at most ", kMaxCudaHeadDim,
                                                 " are possible, on CPUs any number"));
  }
  auto state = std::make_unique<State>(config, range, limits, device);
  LC_ASSIGN_OR_RETURN(state->workspace, TakeWorkspace(config, range, limits, device));
  state->angles.reserve(limits.max_step_tokens * config.head_dim);
  if (device.kind() == DeviceKind::kCuda && AsCuda(device).use_graphs() && range.num_layers > 0) {
    state->graphs.emplace(AsCuda(device));
    state->recorded_kv.reserve(range.num_layers);
  }
  LC_ASSIGN_OR_RETURN(state->weights, LoadStageWeights(checkpoint, range, device, progress));
  return std::unique_ptr<Decoder>(new Decoder(std::move(state)));
}

TensorView Decoder::hidden(int64_t num_tokens) const {
  CHECK_LE(num_tokens, state_->limits.max_step_tokens);
  return state_->View(state_->workspace.hidden, num_tokens, state_->config.hidden_dim);
}

absl::Status Decoder::Embed(std::span<const int32_t> token_ids) {
  CHECK(state_->range.has_embedding);
  const ModelConfig& config = state_->config;
  const TensorView table = {state_->weights.embedding.data(), config.dtype, config.vocab_size,
                            config.hidden_dim, config.hidden_dim};
  LookUpRows(table, token_ids, hidden(static_cast<int64_t>(token_ids.size())), state_->device);
  return state_->device.status();
}

absl::Status Decoder::Forward(std::span<const SliceView> slices, std::span<const KvLayer> kv) {
  CHECK_EQ(kv.size(), state_->weights.layers.size());
  int64_t rows = 0;
  for (const SliceView& slice : slices) rows += slice.num_tokens;
  CHECK_LE(rows, state_->limits.max_step_tokens);
  if (rows == 0) return absl::OkStatus();
  LC_RETURN_IF_ERROR(state_->FillAngles(slices, rows));
  LC_ASSIGN_OR_RETURN(StepView step, state_->workspace.table.Set(slices, state_->device));
  // What attention needs for itself it finds where the feed-forward block's results will go.
  step.scratch = state_->workspace.feed_forward.As<float>();
  step.scratch_floats =
      state_->workspace.feed_forward.bytes() / static_cast<int64_t>(sizeof(float));
  if (state_->graphs.has_value() && rows == std::ssize(slices)) {
    state_->ReplayLayers(step, kv, rows);
  } else {
    state_->RunLayers(step, kv, rows);
  }
  return state_->device.status();
}

absl::StatusOr<TensorView> Decoder::Logits(std::span<const int32_t> rows) {
  CHECK(state_->range.has_head);
  const ModelConfig& config = state_->config;
  const int64_t count = static_cast<int64_t>(rows.size());
  CHECK_LE(count, state_->limits.max_batch_sequences);
  const TensorView in = state_->View(state_->workspace.head_input, count, config.hidden_dim);
  const TensorView logits = state_->View(state_->workspace.logits, count, config.vocab_size);
  if (count == 0) return logits;
  const TensorView all = hidden(state_->limits.max_step_tokens);
  for (const int32_t row : rows) CHECK(row >= 0 && row < all.rows) << row;
  // Neighbouring rows go together: those of a step that decodes are all of it.
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    for (end = begin + 1; end < count && rows[end] == rows[end - 1] + 1;) ++end;
    state_->Norm(F32View(all.Row(rows[begin]), end - begin, all.cols), state_->weights.final_norm,
                 F32View(in.Row(begin), end - begin, in.cols));
  }
  MatMul(in, state_->weights.head, nullptr, logits, state_->device, state_->workspace.products);
  LC_RETURN_IF_ERROR(state_->device.status());
  return logits;
}

int64_t Decoder::weight_bytes() const { return state_->weights.bytes; }
int64_t Decoder::workspace_bytes() const { return state_->workspace.bytes; }

}  // namespace layercake
