#pragma once

// What pipelines a large fleet could be divided into, without saying which layers and which
// neighbours: to bound what all replicas together can generate, and to build them from.
//
// A pipeline has a shape: how far it reaches, so many sequences a step, at most so many stages, and
// no stage above its cycle. Each stage has KV room for all sequences in flight, sequences * stages,
// so that a device takes the fewer layers the deeper its pipeline is; one sequence a step may also
// be fewer in flight than there are stages. Of a shape, a device takes at
// most the layers that its room holds and that it computes within the cycle; a pipeline of the
// shape is devices that take all layers together.

#include <cstdint>
#include <memory>
#include <vector>

#include "coordinator/placement/device_classes.h"
#include "coordinator/placement/whole_devices.h"

namespace layercake {

enum class PipelineReach { kDevice, kPort, kPorts };  // how far: one device, one port, several

struct PipelineShape {
  PipelineReach reach = PipelineReach::kDevice;
  int64_t sequences = 1;  // of a step
  // At most. Where a step is one sequence, so many steps are in flight, in as many stages or more.
  int stages = 1;
  double cycle = 0;  // seconds from step to step

  double tokens_per_second() const { return static_cast<double>(sequences) / cycle; }
};

// A shape, and the devices of each class for one pipeline of it, in parts of a device.
struct ShapedPipeline {
  PipelineShape shape;
  std::vector<double> devices;
};

class PipelineShapes {
 public:
  // What is taken of a class' devices, where they differ.
  //   kPromised: the best, and links as far as no pipeline can do without them: no real pipeline is
  //     better. Steps of more sequences must not take less time.
  //   kKept: the least room, and in each stage's cycle its share of the links: real pipelines come
  //     near.
  enum class Take { kPromised, kKept };

  // Of a class' devices, parts of one or whole ones: those say more where classes are few, as then
  // hardly any mix of them comes out even, and take longer.
  enum class Devices { kParts, kWhole };

  // All must outlive this.
  PipelineShapes(const CostModel& cost, const DeviceClasses& classes, Take take,
                 Devices devices = Devices::kParts);
  ~PipelineShapes();

  // Tokens/s that a device of each class adds to a pipeline at its best.
  std::vector<double> Worths() const;

  // Layers that `device` takes at most of a pipeline of that shape, as a stage of that role.
  int MostLayers(const PipelineShape& shape, int device, StageRole role = kMiddleStage) const;

  struct Cheapest {
    // No pipeline costs less, its devices and its fee, for each of the tokens/s that it generates
    // and its bonus.
    double price = 0;
    std::vector<ShapedPipeline> pipelines;  // some that cost about that; none: there is no pipeline
  };
  // Searches all shapes: boxes of them are bounded, and the cheapest halved (branch and bound).
  //   prices: of a device of each class, >= 0.   numbers: how many there are of each.
  //   fee: of a pipeline, >= 0.   bonus: tokens/s, >= 0.
  Cheapest FindCheapest(const std::vector<double>& prices, const std::vector<double>& numbers,
                        double fee, double bonus);

 private:
  struct Layers;
  struct Box;
  struct Prices;

  int64_t InFlight(int64_t sequences, int stages) const;
  bool MayTakePart(int cls, const StageSeconds& seconds, PipelineReach reach, double cycle) const;
  Layers LayersIn(const Box& box) const;
  void MakeRoots();
  void Halve(Box& box) const;
  bool PriceInParts(Box& box, const Prices& prices, double enough) const;
  bool PriceWhole(Box& box, const Prices& prices) const;

  const CostModel& cost_;
  const DeviceClasses& classes_;
  const Take take_;
  const Devices devices_;
  int calls_ = 0;                            // of FindCheapest
  std::vector<std::unique_ptr<Box>> roots_;  // kept with all their halves
};

}  // namespace layercake
