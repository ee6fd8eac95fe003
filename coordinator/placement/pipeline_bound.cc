#include "coordinator/placement/pipeline_bound.h"

#include <algorithm>
#include <utility>

#include "coordinator/placement/device_classes.h"
#include "coordinator/placement/fleet_program.h"

namespace layercake {

PipelineBound BoundPipeline(const CostModel& cost, const DeviceSelection& selection) {
  const DeviceClasses classes(cost, selection, DeviceClasses::Middles::kLeast);
  FleetProgram program(cost, classes, PipelineShapes::Take::kPromised);
  std::vector<double> numbers;
  for (int cls = 0; cls < classes.size(); ++cls) {
    numbers.push_back(static_cast<double>(classes.devices(cls).size()));
  }
  PipelineBound bound = {.tokens_per_second =
                             program.Solve(std::move(numbers), FleetProgram::kMaxRounds, 1)};
  for (const FleetProgram::Part& part : program.parts()) {
    const PipelineShape& shape = part.pipeline->shape;
    const PipelineBound::Room room = {shape.sequences, shape.stages};
    if (std::ranges::find(bound.rooms, room) == bound.rooms.end()) bound.rooms.push_back(room);
  }
  return bound;
}

}  // namespace layercake
