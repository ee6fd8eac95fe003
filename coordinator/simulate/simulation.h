#pragma once

// A plan under load, event by event: the coordinator's own scheduler over stages and links that
// only take time. Pure: no clock, no threads; the same input gives the same result.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/schedule/scheduler.h"
#include "coordinator/simulate/load.h"
#include "coordinator/simulate/percentiles.h"

namespace layercake {

// What a control group grants its threads: of each period a share, that may be used at once. What
// of it is left when the period ends is lost.
struct CpuQuota {
  double share = 1;
  double period_seconds = 0;  // 0: the share is granted all the time
};

struct SimulatedStage {
  std::string worker;
  // For how long a step of these slices keeps the stage, where for `crowd` of that time, from 0 to
  // 1, the other stages of its host compute too, and where nothing of a quota was saved: `share`
  // of that time it computes.
  std::function<double(std::span<const StepSlice>, double crowd)> step_seconds;
  CpuQuota quota = {};
  std::string host = "";  // stages of one host slow each other down; "": of none
};

// A step's way from one stage to the next. Messages follow each other: a link carries one at a
// time, and its latency is not among what keeps it.
struct SimulatedHop {
  double latency_seconds = 0;
  double seconds_per_token = 0;
};

// One replica. Steps run through the stages in order, each of which does one at a time.
struct SimulatedPipeline {
  SchedulerOptions scheduler;
  std::vector<SimulatedStage> stages;  // scheduler.num_stages of them
  // One more than stages: from the coordinator to the first, between them, and back.
  std::vector<SimulatedHop> hops;
  // From a client to the coordinator, or back.
  double client_latency_seconds = 0;
  double step_seconds = 0;  // of its slowest stage or link, predicted; 0: not known
};

struct StageUse {
  std::string worker;
  int replica = 0;
  uint64_t steps = 0;
  double busy_share = 0;  // of the whole time; the rest are bubbles
  double mean_step_seconds = 0;
};

struct SimulationResult {
  int requests = 0;         // that ended well
  int refused = 0;          // the queue was full, or they could never fit
  double wall_seconds = 0;  // from the first request sent to the last one's end
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  double prompt_tokens_per_second = 0;  // over the wall time, all requests together
  double output_tokens_per_second = 0;
  Percentiles first_token_ms;                    // as the client sees it
  Percentiles between_tokens_ms;                 // of one request
  Percentiles request_output_tokens_per_second;  // after the first token
  std::vector<StageUse> stages;
  double mean_kv_share = 0;  // of the blocks, in use over the whole time
  double peak_kv_share = 0;
  int64_t preemptions = 0;
};

// Requests go to pipelines as they do in service, see ChooseReplica. How much stages of one host
// crowd each other is found by playing the load a few times. REQUIRES: at least one pipeline.
SimulationResult Simulate(std::span<const SimulatedPipeline> pipelines, const LoadOptions& load);

}  // namespace layercake
