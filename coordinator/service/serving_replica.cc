#include "coordinator/service/serving_replica.h"

#include <algorithm>
#include <utility>

#include "coordinator/schedule/plan_options.h"

namespace layercake {
namespace {

double SlowestStage(const v1::Plan& plan) {
  double seconds = 0;
  for (const v1::StagePlan& stage : plan.stages()) {
    seconds = std::max({seconds, stage.decode_seconds(), stage.link_seconds()});
  }
  return seconds;
}

}  // namespace

ServingReplica::ServingReplica(uint64_t epoch, std::shared_ptr<const ServedModel> model,
                               const v1::Plan& plan, StepSink& pipeline, int max_waiting)
    : epoch(epoch),
      model(std::move(model)),
      max_context_tokens(plan.max_context_tokens()),
      step_seconds(SlowestStage(plan)),
      last_worker(plan.stages(plan.stages_size() - 1).worker()),
      pipeline(pipeline),
      scheduler(SchedulerOptionsFor(plan, plan.stages_size(), plan.stages(0).num_blocks(),
                                    max_waiting)) {}

void ServingReplica::FillStatus(v1::ClusterStatus* status) const {
  status->set_running_sequences(status->running_sequences() + scheduler.num_running());
  status->set_waiting_sequences(status->waiting_sequences() + scheduler.num_waiting());
  status->set_free_blocks(status->free_blocks() + scheduler.num_free_blocks());
  status->set_total_blocks(status->total_blocks() + scheduler.num_blocks());
  for (v1::ReplicaStatus& replica : *status->mutable_replicas()) {
    if (replica.epoch() != epoch) continue;
    replica.set_running_sequences(scheduler.num_running());
    replica.set_waiting_sequences(scheduler.num_waiting());
    replica.set_free_blocks(scheduler.num_free_blocks());
    replica.set_total_blocks(scheduler.num_blocks());
    replica.set_generated_tokens(generated_tokens);
  }
}

}  // namespace layercake
