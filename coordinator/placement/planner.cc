#include "coordinator/placement/planner.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/activation_type.h"
#include "coordinator/placement/arrange.h"
#include "coordinator/placement/explain.h"
#include "coordinator/placement/notes.h"
#include "coordinator/placement/predict.h"
#include "coordinator/placement/problem.h"
#include "coordinator/placement/weight_types.h"
#include "coordinator/placement/worker_names.h"

namespace layercake {
namespace {

// A context found by the planner is worth serving from here on; asked for, any is.
constexpr int64_t kLeastAutoContextTokens = 256;

// Sets the context to the largest that fits if the operator left it to us.
absl::Status SettleContext(const ModelConfig& checkpoint, const Fleet& fleet,
                           PlanningProblem& problem) {
  if (Feasible(problem)) return absl::OkStatus();
  if (problem.context_is_auto()) {
    const int64_t least = std::min(kLeastAutoContextTokens, problem.limits.max_context_tokens);
    const int64_t largest = LargestFeasibleContext(problem);
    if (largest >= least) {
      problem.limits.max_context_tokens = largest;
      return absl::OkStatus();
    }
    problem.limits.max_context_tokens = least;
  }
  return DoesNotFit(problem, checkpoint, fleet);
}

std::string PolicyName(const v1::PlanOptions& options) {
  switch (options.policy()) {
    case v1::PlanOptions::POLICY_BALANCED:
      return "balanced";
    case v1::PlanOptions::POLICY_SEQUENTIAL:
      return "sequential";
    case v1::PlanOptions::POLICY_PROPORTIONAL:
      return "proportional";
    case v1::PlanOptions::POLICY_MANUAL:
      return "manual";
    default:
      return options.objective() == v1::PlanOptions::OBJECTIVE_LATENCY ? "auto, for latency"
                                                                       : "auto, for throughput";
  }
}

// What is the same of every stage of one pipeline.
struct Described {
  bool best;  // no other plan is better
  const Pipeline& pipeline;
  int64_t blocks;
  Prediction prediction;
  StepTimes prefill;
};

v1::StagePlan DescribeStage(const PlanningProblem& problem, const CostModel& cost,
                            const Described& described, size_t index) {
  const StageChoice& stage = described.pipeline.stages[index];
  const UsableDevice& device = problem.selection.devices[stage.device];
  const bool last = stage.first + stage.count == cost.num_layers();
  v1::StagePlan plan;
  plan.set_worker(device.name);
  plan.set_first_layer(stage.first);
  plan.set_num_layers(stage.count);
  plan.set_num_blocks(static_cast<int32_t>(described.blocks));
  plan.set_has_embedding(stage.first == 0);
  plan.set_has_head(last);
  plan.set_weight_bytes(cost.WeightBytes(stage.first, stage.count));
  plan.set_kv_bytes(cost.BlockBytes(stage.first, stage.count) * described.blocks);
  plan.set_workspace_bytes(cost.WorkspaceBytes(stage.first, stage.count));
  plan.set_reserve_bytes(device.reserve_bytes);
  plan.set_available_bytes(device.available_bytes);
  plan.set_decode_seconds(described.prediction.step.stages[index]);
  plan.set_prefill_seconds(described.prefill.stages[index]);
  plan.set_link_seconds(described.prediction.step.links[index]);
  plan.set_prefill_link_seconds(described.prefill.links[index]);
  if (!last) plan.set_activation_bytes(cost.ActivationBytes(described.prediction.step_sequences));
  plan.set_reason(
      StageReason(problem, described.pipeline, index, described.prediction, described.best));
  return plan;
}

void DescribeLimits(const PlanningProblem& problem, v1::Plan& plan) {
  const StageLimits& limits = problem.limits;
  plan.set_block_size_tokens(static_cast<int32_t>(limits.block_size_tokens));
  plan.set_max_context_tokens(static_cast<int32_t>(limits.max_context_tokens));
  plan.set_max_batch_sequences(static_cast<int32_t>(limits.max_batch_sequences));
  plan.set_max_step_tokens(static_cast<int32_t>(limits.max_step_tokens));
  plan.set_activation_type(ActivationTypeOf(limits.activation_dtype));
  plan.set_kv_type(limits.kv_dtype == DType::kF32 ? v1::KV_TYPE_F32 : v1::KV_TYPE_F16);
  plan.set_largest_context_tokens(static_cast<int32_t>(LargestContext(problem)));
}

// Adds one replica's stages, and what it can do to what all can.
void DescribeReplica(const PlanningProblem& problem, const CostModel& cost,
                     const Described& described, v1::Plan& plan) {
  for (size_t i = 0; i < described.pipeline.stages.size(); ++i) {
    *plan.add_stages() = DescribeStage(problem, cost, described, i);
    plan.mutable_stages()->rbegin()->set_replica(plan.num_replicas());
  }
  const Prediction& prediction = described.prediction;
  v1::ReplicaPrediction* out = plan.add_predictions();
  out->set_replica(plan.num_replicas());
  out->set_tokens_per_second(prediction.tokens_per_second);
  out->set_prompt_tokens_per_second(prediction.prompt_tokens_per_second);
  out->set_token_seconds(prediction.token_seconds);
  out->set_step_sequences(static_cast<int32_t>(prediction.step_sequences));
  out->set_sequences_in_flight(static_cast<int32_t>(prediction.sequences_in_flight));
  out->set_sequence_tokens(
      static_cast<int32_t>(std::min(cost.limits().max_context_tokens, kPlanningContextTokens)));
  plan.set_num_replicas(plan.num_replicas() + 1);
  plan.set_predicted_tokens_per_second(plan.predicted_tokens_per_second() +
                                       prediction.tokens_per_second);
  plan.set_predicted_prompt_tokens_per_second(plan.predicted_prompt_tokens_per_second() +
                                              prediction.prompt_tokens_per_second);
  plan.set_predicted_token_seconds(
      std::max(plan.predicted_token_seconds(), prediction.token_seconds));
}

void DescribeLeftOut(const PlanningProblem& problem, const std::vector<Described>& replicas,
                     v1::Plan& plan) {
  const std::vector<UsableDevice>& devices = problem.selection.devices;
  std::vector<bool> used(devices.size(), false);
  for (const Described& described : replicas) {
    for (const StageChoice& stage : described.pipeline.stages) used[stage.device] = true;
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    if (used[i]) continue;
    v1::ExcludedDevice* excluded = plan.add_excluded();
    excluded->set_worker(devices[i].name);
    excluded->set_reason(LeftOutReason(problem, replicas.front().pipeline, static_cast<int>(i),
                                       replicas.front().prediction, replicas.front().best));
  }
  for (const v1::ExcludedDevice& excluded : problem.selection.excluded) {
    *plan.add_excluded() = excluded;
  }
}

v1::Plan Describe(const PlanningProblem& problem, const CostModel& cost,
                  const Arrangement& arrangement) {
  const bool automatic = problem.options.policy() == v1::PlanOptions::POLICY_AUTO;
  const bool best = automatic && arrangement.gap <= 0 && arrangement.replicas.size() == 1;
  std::vector<Described> replicas;
  for (const Pipeline& pipeline : arrangement.replicas) {
    const int64_t blocks = ChooseBlocks(cost, problem.selection.devices, pipeline);
    CHECK_GE(blocks, cost.context_blocks());
    replicas.push_back({.best = best,
                        .pipeline = pipeline,
                        .blocks = blocks,
                        .prediction = Predict(cost, problem.selection, pipeline, blocks),
                        .prefill = PrefillStep(cost, problem.selection, pipeline)});
  }
  v1::Plan plan;
  plan.set_model(problem.model_name);
  plan.set_policy(PolicyName(problem.options));
  for (const Described& described : replicas) DescribeReplica(problem, cost, described, plan);
  DescribeLeftOut(problem, replicas, plan);
  DescribeLimits(problem, plan);
  if (automatic) plan.set_optimality_gap(arrangement.gap);
  plan.set_cost_model(CostModelInWords(cost));
  plan.set_weight_type(WeightTypeOf(problem.model));
  plan.set_weight_form(WeightForm(problem.model));
  return plan;
}

}  // namespace

absl::StatusOr<v1::Plan> MakePlan(const ModelConfig& checkpoint, const Fleet& fleet,
                                  const v1::PlanOptions& asked, absl::string_view model_name) {
  LC_ASSIGN_OR_RETURN(const v1::PlanOptions options, WithWorkerNames(fleet, asked));
  if (options.weight_type() == v1::WEIGHT_TYPE_AUTO) {
    return PlanWithBestWeights(checkpoint, fleet, options, model_name);
  }
  const ModelConfig model = WithWeightType(checkpoint, options.weight_type());
  LC_ASSIGN_OR_RETURN(PlanningProblem problem, MakeProblem(model, fleet, options, model_name));
  LC_RETURN_IF_ERROR(SettleContext(checkpoint, fleet, problem));
  const CostModel cost = problem.cost();
  if (problem.manual()) {
    LC_ASSIGN_OR_RETURN(const Pipeline pipeline, ManualPipeline(cost, problem.selection, options));
    v1::Plan plan = Describe(problem, cost, {.replicas = {pipeline}});
    AddNotes(problem, checkpoint, fleet, plan);
    return plan;
  }
  const std::optional<Arrangement> arrangement = Arrange(cost, problem.selection, options);
  if (!arrangement.has_value() && options.replicas() > 1) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no division of the workers into ", options.replicas(), " replicas of ",
                     model_name, " was found in which each fits; ask for fewer with --replicas"));
  }
  CHECK(arrangement.has_value()) << "a feasible problem has a plan";
  v1::Plan plan = Describe(problem, cost, *arrangement);
  AddNotes(problem, checkpoint, fleet, plan);
  return plan;
}

}  // namespace layercake
