#pragma once

// What a pipeline will do, by the cost model.

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/devices.h"
#include "coordinator/placement/search.h"

namespace layercake {

// KV blocks of the whole pipeline: what its tightest stage holds, but no more than every stage's
// full batch of sequences can use. -1 when a stage does not hold its weights.
int64_t ChooseBlocks(const CostModel& cost, const std::vector<UsableDevice>& devices,
                     const Pipeline& pipeline);

// Seconds that one step spends in each stage, and on the link to the next one (0 after the last).
struct StepTimes {
  std::vector<double> stages;
  std::vector<double> links;

  double sum() const;
  // The slowest stage or link. A link carries one step at a time, while others are computed.
  double period() const;
};

// Of a step that decodes one token of each of `sequences` sequences.
//   all_busy: the other stages compute other steps meanwhile.
StepTimes DecodeStep(const CostModel& cost, const DeviceSelection& selection,
                     const Pipeline& pipeline, int64_t sequences, bool all_busy);
// Of a step of max_step_tokens prompt tokens, all stages busy.
StepTimes PrefillStep(const CostModel& cost, const DeviceSelection& selection,
                      const Pipeline& pipeline);

// What a pipeline with `blocks` KV blocks will do, every stage kept busy as far as they allow.
struct Prediction {
  int64_t step_sequences = 1;       // per step
  int64_t sequences_in_flight = 1;  // of all steps: as many as there are stages, if blocks allow
  StepTimes step;                   // of step_sequences
  double tokens_per_second = 0;
  double prompt_tokens_per_second = 0;  // of prompts alone, every stage busy
  double token_seconds = 0;             // one sequence alone
};
Prediction Predict(const CostModel& cost, const DeviceSelection& selection,
                   const Pipeline& pipeline, int64_t blocks);

// Predicted of a pipeline with all the blocks that it can use.
double TokensPerSecond(const CostModel& cost, const DeviceSelection& selection,
                       const Pipeline& pipeline);

// Times and rates that differ by less than this share are the same: none is predicted that well.
inline constexpr double kSamePrediction = 1e-9;

struct RatedPipeline {
  Pipeline pipeline;
  int64_t sequences = 1;  // of a step, that it was made for
  double tokens_per_second = 0;
};

// The same in words, for the plan.
std::string CostModelInWords(const CostModel& cost);

}  // namespace layercake
