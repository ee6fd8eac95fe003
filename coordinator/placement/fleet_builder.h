#pragma once

// Builds divisions of a fleet, pipeline by pipeline, as a linear program over all of them advises.

#include <map>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/device_classes.h"
#include "coordinator/placement/fleet_program.h"
#include "coordinator/placement/pipeline_estimate.h"

namespace layercake {

// How many of `devices` are of each class.
std::vector<double> NumbersOf(const DeviceClasses& classes, const std::vector<int>& devices);

class FleetBuilder {
 public:
  // All must outlive this.
  //   devices: what the program takes of a class.
  FleetBuilder(const CostModel& cost, const DeviceClasses& classes, PipelineEstimator& estimator,
               PipelineShapes::Devices devices);

  // Each time a pipeline that the program for the devices left has most of, of so many candidates
  // the one whose devices are worth least to others for what it generates.
  //   rounds: of the program after each pipeline; what devices are worth comes out the truer.
  std::vector<EstimatedPipeline> Build(const std::vector<int>& devices, int rounds);
  // Begins with what the last Build's program had `rank`-th most of, on as few devices as hold it.
  // Empty: it had not as many.
  std::vector<EstimatedPipeline> BuildBeginningWith(size_t rank, const std::vector<int>& devices,
                                                    int rounds);

 private:
  std::vector<FleetProgram::Part> SolveFor(const std::vector<int>& free, int rounds);
  std::vector<EstimatedPipeline> BuildOneByOne(std::vector<int> free,
                                               std::vector<FleetProgram::Part> parts, int rounds);
  EstimatedPipeline BestBuilt(const std::vector<int>& free,
                              const std::vector<FleetProgram::Part>& parts, double share,
                              size_t& part);
  EstimatedPipeline BuildOne(const ShapedPipeline& shaped, const std::vector<int>& free);
  std::vector<int> BestFor(const ShapedPipeline& shaped, const std::vector<int>& free);
  std::vector<int> Some(const std::vector<int>& devices, std::map<int, double> left) const;
  int LastFor(const ShapedPipeline& shaped, const std::vector<int>& free) const;
  double PriceOf(const std::vector<int>& devices) const;

  const DeviceClasses& classes_;
  PipelineEstimator& estimator_;
  FleetProgram program_;
  std::vector<FleetProgram::Part> firsts_;  // of the last Build
  std::vector<double> prices_;              // of a device of each class, as SolveFor found
};

}  // namespace layercake
