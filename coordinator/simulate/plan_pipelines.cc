#include "coordinator/simulate/plan_pipelines.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/activation_type.h"
#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/links.h"
#include "coordinator/schedule/plan_options.h"

namespace layercake {
namespace {

StageLimits LimitsOf(const v1::Plan& plan) {
  return {.max_step_tokens = plan.max_step_tokens(),
          .max_batch_sequences = plan.max_batch_sequences(),
          .max_context_tokens = plan.max_context_tokens(),
          .block_size_tokens = plan.block_size_tokens(),
          .kv_dtype = plan.kv_type() == v1::KV_TYPE_F32 ? DType::kF32 : DType::kF16,
          .activation_dtype = ActivationDType(plan.activation_type()).value_or(DType::kF32)};
}

absl::Status CheckBlocks(const v1::Plan& plan) {
  int num_blocks = 0;  // of the replica
  for (const v1::StagePlan& stage : plan.stages()) {
    if (stage.first_layer() == 0) num_blocks = stage.num_blocks();
    if (stage.num_blocks() < 1 || stage.num_blocks() != num_blocks) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the plan gives worker ", stage.worker(), " ", stage.num_blocks(),
          " KV blocks; every stage needs at least 1, and as many as the others of its replica"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPlan(const v1::Plan& plan, const ModelConfig& model) {
  if (plan.stages().empty() || plan.max_context_tokens() < 1 || plan.block_size_tokens() < 1 ||
      plan.max_batch_sequences() < 1 || plan.max_step_tokens() < plan.max_batch_sequences()) {
    return absl::InvalidArgumentError("the plan has no stages or no room; it cannot be simulated");
  }
  LC_RETURN_IF_ERROR(ActivationDType(plan.activation_type()).status());
  int64_t next = 0;
  for (const v1::StagePlan& stage : plan.stages()) {
    if (next == model.num_layers) next = 0;  // the next replica
    if (stage.num_layers() < 1 || stage.first_layer() != next) break;
    next += stage.num_layers();
  }
  if (next == model.num_layers) return CheckBlocks(plan);
  return absl::InvalidArgumentError(absl::StrCat("the plan's stages end at layer ", next,
                                                 ", the model has ", model.num_layers,
                                                 " layers; is it another model's plan?"));
}

// By plan stage, the workers in `fleet`.
absl::StatusOr<std::vector<const PlannerDevice*>> DevicesOf(const v1::Plan& plan,
                                                            const Fleet& fleet) {
  std::vector<const PlannerDevice*> devices;
  for (const v1::StagePlan& stage : plan.stages()) {
    const auto found = std::ranges::find(fleet.devices, stage.worker(), &PlannerDevice::name);
    if (found == fleet.devices.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the plan's worker ", stage.worker(), " is not in the cluster"));
    }
    devices.push_back(&*found);
  }
  return devices;
}

// Of a device whose measured rates are those that the quota leaves on average.
CpuQuota QuotaOf(const v1::Device& device) {
  const double threads = std::max(1, device.threads());
  if (!(device.cpu_quota() > 0 && device.cpu_quota() < threads)) return {};
  if (!(device.cpu_quota_period_seconds() > 0)) return {};
  return {.share = device.cpu_quota() / threads,
          .period_seconds = device.cpu_quota_period_seconds()};
}

SimulatedStage StageOf(const std::shared_ptr<const CostModel>& cost, const v1::StagePlan& stage,
                       const PlannerDevice& device, const DeviceSpeed& crowded_speed) {
  const auto speed = std::make_shared<const DeviceSpeed>(SpeedOf(device.device, device.profile));
  const auto crowded = std::make_shared<const DeviceSpeed>(crowded_speed);
  return {.worker = stage.worker(),
          .step_seconds =
              [cost, speed, crowded, first = stage.first_layer(), count = stage.num_layers()](
                  std::span<const StepSlice> slices, double crowd) {
                const double alone = cost->StepSeconds(*speed, first, count, slices);
                if (crowd == 0) return alone;
                return alone + crowd * (cost->StepSeconds(*crowded, first, count, slices) - alone);
              },
          .quota = QuotaOf(device.device),
          .host = *crowded == *speed ? "" : device.host};
}

}  // namespace

absl::StatusOr<std::vector<SimulatedPipeline>> PipelinesOf(const v1::Plan& plan,
                                                           const ModelConfig& model,
                                                           const Fleet& fleet, int max_queue) {
  LC_RETURN_IF_ERROR(CheckPlan(plan, model));
  LC_ASSIGN_OR_RETURN(const auto devices, DevicesOf(plan, fleet));
  LC_ASSIGN_OR_RETURN(const LinkMap links, LinkMap::Of(fleet, devices));
  const auto cost = std::make_shared<const CostModel>(model, LimitsOf(plan));
  const double token_bytes = static_cast<double>(cost->ActivationBytes(1));
  const std::vector<DeviceSpeed> crowded_speeds = CrowdedSpeeds(devices);
  const SimulatedHop control = {.latency_seconds = kControlLatencySeconds};
  std::vector<SimulatedPipeline> pipelines;
  for (int i = 0; i < plan.stages_size(); ++i) {
    const v1::StagePlan& stage = plan.stages(i);
    if (stage.first_layer() == 0) {
      pipelines.push_back(
          {.scheduler = SchedulerOptionsFor(plan, /*num_stages=*/0, stage.num_blocks(), max_queue),
           .hops = {control},
           .client_latency_seconds = kControlLatencySeconds});
    } else {
      const LinkSpeed& link = links.at(i - 1, i);
      pipelines.back().hops.push_back({.latency_seconds = link.latency_seconds,
                                       .seconds_per_token = token_bytes / link.bytes_per_second});
    }
    SimulatedPipeline& pipeline = pipelines.back();
    pipeline.stages.push_back(StageOf(cost, stage, *devices[i], crowded_speeds[i]));
    ++pipeline.scheduler.num_stages;
    pipeline.step_seconds =
        std::max({pipeline.step_seconds, stage.decode_seconds(), stage.link_seconds()});
  }
  for (SimulatedPipeline& pipeline : pipelines) pipeline.hops.push_back(control);
  return pipelines;
}

}  // namespace layercake
