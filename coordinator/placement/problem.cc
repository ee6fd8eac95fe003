#include "coordinator/placement/problem.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/activation_type.h"
#include "coordinator/placement/memory.h"

namespace layercake {
namespace {

constexpr int32_t kDefaultBatchSequences = 16;
constexpr int32_t kDefaultStepTokens = 256;
constexpr int32_t kDefaultBlockTokens = 16;

absl::Status CheckNumbers(const ModelConfig& model, const v1::PlanOptions& options) {
  const auto negative = [](absl::string_view flag, int32_t value) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " is ", value, "; it cannot be negative"));
  };
  if (options.context_tokens() < 0) return negative("--context", options.context_tokens());
  if (options.batch_sequences() < 0) return negative("--batch", options.batch_sequences());
  if (options.step_tokens() < 0) return negative("--step-tokens", options.step_tokens());
  if (options.block_size_tokens() < 0) return negative("block size", options.block_size_tokens());
  if (options.context_tokens() > model.max_context_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("--context ", options.context_tokens(),
                                                   " is more than the model's own ",
                                                   model.max_context_tokens));
  }
  if (options.batch_sequences() > 0 && options.step_tokens() > 0 &&
      options.step_tokens() < options.batch_sequences()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--step-tokens ", options.step_tokens(), " is less than --batch ",
                     options.batch_sequences(), "; a step decodes a token of each"));
  }
  return absl::OkStatus();
}

absl::Status CheckReplicas(const v1::PlanOptions& options) {
  if (options.replicas() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--replicas is ", options.replicas(), "; it cannot be negative"));
  }
  if (options.replicas() <= 1) return absl::OkStatus();
  if (options.policy() != v1::PlanOptions::POLICY_AUTO ||
      options.objective() != v1::PlanOptions::OBJECTIVE_THROUGHPUT) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--replicas ", options.replicas(), " goes with --policy auto --objective throughput only"));
  }
  if (options.order_size() > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--order is that of one pipeline; drop it or --replicas ", options.replicas()));
  }
  return absl::OkStatus();
}

absl::Status CheckObjective(const v1::PlanOptions& options) {
  if (options.policy() == v1::PlanOptions::POLICY_AUTO ||
      options.objective() == v1::PlanOptions::OBJECTIVE_THROUGHPUT) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "--objective latency goes with --policy auto only; the others aim at neither");
}

absl::Status CheckManual(const v1::PlanOptions& options) {
  const bool manual = options.policy() == v1::PlanOptions::POLICY_MANUAL;
  if (manual && options.manual_size() == 0) {
    return absl::InvalidArgumentError("--policy manual needs --layers");
  }
  if (!manual && options.manual_size() > 0) {
    return absl::InvalidArgumentError("--layers goes with --policy manual only");
  }
  if (manual && options.order_size() > 0) {
    return absl::InvalidArgumentError("--layers says the order already; drop --order");
  }
  return ActivationDType(options.activation_type()).status();
}

StageLimits LimitsFor(const ModelConfig& model, const v1::PlanOptions& options) {
  const int32_t batch = options.batch_sequences();
  const int32_t step = options.step_tokens();
  StageLimits limits;
  limits.max_step_tokens = step > 0 ? step : std::max(kDefaultStepTokens, batch);
  limits.max_batch_sequences =
      batch > 0 ? batch : std::min<int64_t>(kDefaultBatchSequences, limits.max_step_tokens);
  limits.max_context_tokens =
      options.context_tokens() > 0 ? options.context_tokens() : model.max_context_tokens;
  limits.block_size_tokens =
      options.block_size_tokens() > 0 ? options.block_size_tokens() : kDefaultBlockTokens;
  const bool f32 = options.kv_type() == v1::KV_TYPE_F32 ||
                   (options.kv_type() == v1::KV_TYPE_UNSPECIFIED && model.dtype == DType::kF32);
  limits.kv_dtype = f32 ? DType::kF32 : DType::kF16;
  limits.activation_dtype = ActivationDType(options.activation_type()).value_or(DType::kF32);
  return limits;
}

// The largest multiple of the block size in [feasible, infeasible) that is a feasible context,
// where the ends are known; `problem` is used up.
int64_t FeasibleContextBetween(PlanningProblem& problem, int64_t feasible, int64_t infeasible) {
  const int64_t block = problem.limits.block_size_tokens;
  int64_t low = feasible / block;
  int64_t high = infeasible / block;
  while (low < high) {
    const int64_t blocks = low + (high - low + 1) / 2;
    problem.limits.max_context_tokens = blocks * block;
    if (Feasible(problem)) {
      low = blocks;
    } else {
      high = blocks - 1;
    }
  }
  return low * block;
}

}  // namespace

absl::StatusOr<PlanningProblem> MakeProblem(const ModelConfig& model, const Fleet& fleet,
                                            const v1::PlanOptions& options,
                                            absl::string_view model_name) {
  LC_RETURN_IF_ERROR(CheckNumbers(model, options));
  LC_RETURN_IF_ERROR(CheckReplicas(options));
  LC_RETURN_IF_ERROR(CheckObjective(options));
  LC_RETURN_IF_ERROR(CheckManual(options));
  LC_ASSIGN_OR_RETURN(DeviceSelection selection, SelectDevices(fleet, options));
  if (options.replicas() > static_cast<int>(selection.devices.size())) {
    return absl::InvalidArgumentError(absl::StrCat("--replicas ", options.replicas(),
                                                   " needs as many workers; there are ",
                                                   selection.devices.size()));
  }
  PlanningProblem problem{.model = model,
                          .model_name = std::string(model_name),
                          .options = options,
                          .selection = std::move(selection),
                          .limits = LimitsFor(model, options)};
  if (problem.manual()) {
    LC_RETURN_IF_ERROR(ManualPipeline(problem.cost(), problem.selection, options).status());
  }
  return problem;
}

bool Feasible(const PlanningProblem& problem) {
  const CostModel cost = problem.cost();
  if (!problem.manual()) {
    return Fits(cost, problem.selection, cost.context_blocks(), problem.options.replicas());
  }
  const absl::StatusOr<Pipeline> pipeline =
      ManualPipeline(cost, problem.selection, problem.options);
  return pipeline.ok() &&
         std::all_of(pipeline->stages.begin(), pipeline->stages.end(),
                     [&](const StageChoice& stage) {
                       return BlocksThatFit(cost, problem.selection.devices[stage.device],
                                            stage.first, stage.count) >= cost.context_blocks();
                     });
}

int64_t LargestFeasibleContext(const PlanningProblem& problem) {
  if (Feasible(problem)) return problem.limits.max_context_tokens;
  PlanningProblem shorter = problem;
  return FeasibleContextBetween(shorter, 0, problem.limits.max_context_tokens);
}

int64_t LargestContext(const PlanningProblem& problem) {
  // Left open, it has been settled already.
  if (problem.context_is_auto()) return problem.limits.max_context_tokens;
  PlanningProblem longer = problem;
  longer.limits.max_context_tokens = problem.model.max_context_tokens;
  if (longer.limits.max_context_tokens == problem.limits.max_context_tokens || Feasible(longer)) {
    return longer.limits.max_context_tokens;
  }
  return std::max(problem.limits.max_context_tokens,
                  FeasibleContextBetween(longer, problem.limits.max_context_tokens,
                                         longer.limits.max_context_tokens));
}

}  // namespace layercake
