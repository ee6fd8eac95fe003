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
  FleetProgram(const CostModel& cost, const DeviceClasses& classes, PipelineShapes::Take take);

  // Solves for so many devices of each class. Returns what no division into any pipelines of the
  // shapes exceeds, in tokens/s; kDoesNotFit if rounds did not suffice to find any bound.
  //   rounds: of looking for columns, at most. Those found stay.
  double Solve(const std::vector<double>& numbers, int rounds);

  // As of the last Solve.
  struct Part {
    double amount;                   // of pipelines
    const ShapedPipeline* pipeline;  // stays
  };
  std::vector<Part> parts() const;  // the largest amounts first
  const std::vector<double>& prices() const { return program_.prices(); }

  // Prices by class at which all devices together cost the bound and no pipeline costs less than
  // the tokens/s that it generates.
  const std::vector<double>& bound_prices() const { return bound_prices_; }
  PipelineShapes& shapes() { return shapes_; }

 private:
  PipelineShapes shapes_;
  size_t num_exchanges_ = 0;  // the first columns
  PackingProgram program_;
  std::deque<ShapedPipeline> columns_;  // the others
  std::vector<double> bound_prices_;
};

}  // namespace layercake
