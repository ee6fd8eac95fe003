#pragma once

// What a pipeline of some devices would generate, in microseconds instead of the milliseconds that
// the exact search for its stages takes: for searches over very many divisions of a fleet.

#include <cstdint>
#include <vector>

#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/device_classes.h"

namespace layercake {

// Devices of one pipeline, and what it is estimated to generate.
struct EstimatedPipeline {
  std::vector<int> devices;  // by index in the selection
  int64_t sequences = 1;     // of a step
  double tokens_per_second = 0;
};

// Layers go where they are quickest, as many as each device's own room holds beside KV for all
// sequences in flight; the first and the last stage go where they take least room from others.
// Ports follow each other so that the slowest links are taken once. It errs where layers are
// unlike.
class PipelineEstimator {
 public:
  // Both must outlive this.
  PipelineEstimator(const CostModel& cost, const DeviceClasses& classes)
      : cost_(cost), classes_(classes) {}

  // Sets the tokens/s of `pipeline` with its sequences a step; 0: its devices do not hold the
  // model.
  void Estimate(EstimatedPipeline& pipeline);
  // Tries other numbers of sequences too: a few near its own, or of `all` sizes.
  void EstimateBest(EstimatedPipeline& pipeline, bool all);

  // The devices in the order that the estimate is of.
  std::vector<int> Order(const EstimatedPipeline& pipeline);

  int port(int device) const { return classes_.At(1).links.port(device); }
  int kind(int device) const { return classes_.kind(classes_.class_of(device)); }

  // Estimates made.
  int64_t count() const { return count_; }

 private:
  // A layer more on a device.
  struct Layer {
    double stage_seconds;  // with it
    double more_seconds;
    bool is_first;  // of its stage
  };

  bool ChooseEnds(const EstimatedPipeline& pipeline, const StepCosts& step);
  void OrderPorts(const EstimatedPipeline& pipeline, const StepCosts& step);
  double LinkSeconds(const StepCosts& step) const;
  double CycleOf(const EstimatedPipeline& pipeline, const StepCosts& step);

  const CostModel& cost_;
  const DeviceClasses& classes_;
  int64_t count_ = 0;
  // Scratch, of the last estimate. Ends are indices in its devices.
  int first_ = 0;
  int last_ = 0;
  std::vector<StageRoom> rooms_;
  std::vector<Layer> layers_;
  std::vector<int> ports_;  // in pipeline order
};

}  // namespace layercake
