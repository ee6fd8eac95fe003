#pragma once

// Makes a division of a fleet better, device by device.

#include <cstdint>
#include <vector>

#include "coordinator/placement/pipeline_estimate.h"

namespace layercake {

struct AnnealOptions {
  int64_t estimates = 0;  // to make, about
  // How much worse a move may leave things at first, as a share of what a device generates on
  // average; in the end a hundredth of that.
  double heat = 0.05;
  bool keep_all = false;  // pipelines: none that generates is left with too few devices
};

// Moves devices from pipeline to pipeline and to and from `free`, mostly to others of their port,
// and exchanges them, as random numbers of a fixed seed have it: always where all pipelines then
// generate more, and for a while sometimes where they do not (simulated annealing). The best found
// is kept.
void Anneal(PipelineEstimator& estimator, const AnnealOptions& options,
            std::vector<EstimatedPipeline>& pipelines, std::vector<int> free);

double TokensPerSecond(const std::vector<EstimatedPipeline>& pipelines);

}  // namespace layercake
