#pragma once

// One replica of the pipeline as the generation loop drives it.

#include <cstdint>
#include <memory>
#include <string>

#include "coordinator/cluster/served_model.h"
#include "coordinator/cluster/serving_listener.h"
#include "coordinator/schedule/dispatch.h"
#include "coordinator/schedule/scheduler.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

// What lives as long as an epoch. Plain state, under the loop's lock.
struct ServingReplica {
  // `pipeline` must outlive it. At most `max_waiting` sequences wait here.
  ServingReplica(uint64_t epoch, std::shared_ptr<const ServedModel> model, const v1::Plan& plan,
                 StepSink& pipeline, int max_waiting);

  DispatchTarget dispatch_target() const { return {&scheduler, step_seconds}; }
  // Adds what runs and waits here to the sums, and fills this replica's entry.
  void FillStatus(v1::ClusterStatus* status) const;

  const uint64_t epoch;
  const std::shared_ptr<const ServedModel> model;
  const int max_context_tokens;
  const double step_seconds;      // of the slowest stage, predicted
  const std::string last_worker;  // the one that samples
  StepSink& pipeline;
  Scheduler scheduler;
  uint64_t generated_tokens = 0;
};

}  // namespace layercake
