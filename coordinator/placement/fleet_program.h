#pragma once

// How much of each kind of pipeline a fleet can hold: the linear program of packing over all
// pipelines of all shapes, whose columns are found as they are missed (column generation).

#include <deque>
#include <vector>

#include "coordinator/placement/packing_program.h"
#include "coordinator/placement/pipeline_shapes.h"

namespace layercake {

class FleetProgram {
 public:
  static constexpr double kAnyNumber = 1e9;
  static constexpr int kMaxRounds = 120;  // the largest fleets need fewer

  //   bonus: tokens/s that a pipeline counts for besides those that it generates, >= 0.
  FleetProgram(const CostModel& cost, const DeviceClasses& classes, PipelineShapes::Take take,
               double bonus = 0, PipelineShapes::Devices devices = PipelineShapes::Devices::kParts);

  // Solves for so many devices of each class. Returns what no division into pipelines of the shapes
  // exceeds, in tokens/s with their bonuses; kDoesNotFit if rounds did not suffice to find any
  // bound.
  //   rounds: of looking for columns, at most. Those found stay.
  //   most: pipelines.
  double Solve(std::vector<double> numbers, int rounds, double most = kAnyNumber);

  // As of the last Solve.
  struct Part {
    double amount;                   // of pipelines
    const ShapedPipeline* pipeline;  // stays
  };
  std::vector<Part> parts() const;  // the largest amounts first
  double amount() const;            // of pipelines in all
  // Of a device of each class, and last of a pipeline.
  const std::vector<double>& prices() const { return program_.prices(); }

  // Such prices at which all together cost the bound and no pipeline costs less than it counts for.
  const std::vector<double>& bound_prices() const { return bound_prices_; }
  const PipelineShapes& shapes() const { return shapes_; }

 private:
  PipelineShapes shapes_;
  const double bonus_;
  size_t num_exchanges_ = 0;  // the first columns
  PackingProgram program_;
  std::deque<ShapedPipeline> columns_;  // the others
  std::vector<double> bound_prices_;
};

}  // namespace layercake
