#include "coordinator/placement/fleet_builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace layercake {
namespace {

// Of pipelines to build next, so many are compared.
constexpr int kCandidates = 4;
// Where no pipeline can be built with the sequences of its shape, this share of them, and so on.
constexpr double kFewer = 0.75;
constexpr double kFewest = 0.05;
// A pipeline that is built may have so many times the devices of its shape, and some to spare.
constexpr double kMostDevices = 1.3;
constexpr int kSpareDevices = 4;

}  // namespace

std::vector<double> NumbersOf(const DeviceClasses& classes, const std::vector<int>& devices) {
  std::vector<double> numbers(classes.size(), 0);
  for (const int device : devices) ++numbers[classes.class_of(device)];
  return numbers;
}

FleetBuilder::FleetBuilder(const CostModel& cost, const DeviceClasses& classes,
                           PipelineEstimator& estimator, PipelineShapes::Devices devices)
    : classes_(classes),
      estimator_(estimator),
      program_(cost, classes, PipelineShapes::Take::kKept, /*bonus=*/0, devices) {}

std::vector<EstimatedPipeline> FleetBuilder::Build(const std::vector<int>& devices, int rounds) {
  firsts_ = SolveFor(devices, FleetProgram::kMaxRounds);
  return BuildOneByOne(devices, firsts_, rounds);
}

std::vector<EstimatedPipeline> FleetBuilder::BuildBeginningWith(size_t rank,
                                                                const std::vector<int>& devices,
                                                                int rounds) {
  if (rank >= firsts_.size()) return {};
  prices_.assign(prices_.size(), 0);
  return BuildOneByOne(devices, {firsts_[rank]}, rounds);
}

//   parts: candidates for the first.
std::vector<EstimatedPipeline> FleetBuilder::BuildOneByOne(std::vector<int> free,
                                                           std::vector<FleetProgram::Part> parts,
                                                           int rounds) {
  std::vector<EstimatedPipeline> pipelines;
  while (true) {
    size_t part = 0;
    EstimatedPipeline best = BestBuilt(free, parts, /*share=*/1, part);
    // Shapes are of classes, and promise a little too much: then with fewer sequences.
    for (double share = kFewer; best.devices.empty() && share > kFewest; share *= kFewer) {
      best = BestBuilt(free, parts, share, part);
    }
    if (best.devices.empty()) return pipelines;
    std::erase_if(free, [&best](int device) {
      return std::ranges::find(best.devices, device) != best.devices.end();
    });
    pipelines.push_back(std::move(best));
    // Where there are to be many alike, the program says the same again for a while.
    parts[part].amount -= 2;
    if (parts[part].amount < 1) parts = SolveFor(free, rounds);
  }
}

// What the program has most of, with its prices.
std::vector<FleetProgram::Part> FleetBuilder::SolveFor(const std::vector<int>& free, int rounds) {
  program_.Solve(NumbersOf(classes_, free), rounds);
  prices_ = program_.prices();
  return program_.parts();
}

// The next, of steps of that share of the sequences that the shapes have.
//   part: is set to that which it is of.
EstimatedPipeline FleetBuilder::BestBuilt(const std::vector<int>& free,
                                          const std::vector<FleetProgram::Part>& parts,
                                          double share, size_t& part) {
  EstimatedPipeline best;
  double least = kDoesNotFit;
  int candidates = kCandidates;
  for (size_t i = 0; i < parts.size(); ++i) {
    ShapedPipeline shaped = *parts[i].pipeline;
    const double sequences = share * static_cast<double>(shaped.shape.sequences);
    shaped.shape.sequences = std::max<int64_t>(1, std::llround(sequences));
    EstimatedPipeline built = BuildOne(shaped, free);
    if (built.tokens_per_second <= 0) continue;
    const double price = PriceOf(built.devices) / built.tokens_per_second;
    if (price < least) {
      least = price;
      best = std::move(built);
      part = i;
    }
    if (--candidates == 0) break;
  }
  return best;
}

double FleetBuilder::PriceOf(const std::vector<int>& devices) const {
  double price = 0;
  for (const int device : devices) price += prices_[classes_.class_of(device)];
  return price;
}

// The best of the first so many of the devices that would serve best. None: 0 tokens/s.
EstimatedPipeline FleetBuilder::BuildOne(const ShapedPipeline& shaped,
                                         const std::vector<int>& free) {
  const std::vector<int> devices = BestFor(shaped, free);
  const auto most = static_cast<size_t>(shaped.shape.stages * kMostDevices + kSpareDevices);
  EstimatedPipeline pipeline = {.sequences = shaped.shape.sequences};
  EstimatedPipeline best;
  double least = kDoesNotFit;
  double price = 0;
  const int last = LastFor(shaped, free);
  if (last >= 0) {
    pipeline.devices.push_back(last);
    price = PriceOf(pipeline.devices);
  }
  for (size_t i = 0; i < std::min(most, devices.size()); ++i) {
    if (devices[i] == last) continue;
    pipeline.devices.push_back(devices[i]);
    price += prices_[classes_.class_of(devices[i])];
    estimator_.Estimate(pipeline);
    if (pipeline.tokens_per_second <= 0 || price >= least * pipeline.tokens_per_second) continue;
    least = price / pipeline.tokens_per_second;
    best = pipeline;
  }
  return best;
}

// Free devices of the kinds that the shape has, as many as it has, the ports first that have most
// of them; then the others, the cheapest by layer first.
std::vector<int> FleetBuilder::BestFor(const ShapedPipeline& shaped, const std::vector<int>& free) {
  const LinkTimes& links = classes_.At(shaped.shape.sequences).links;
  std::map<int, int> layers;  // by device
  std::map<int, std::vector<int>> by_port;
  for (const int device : free) {
    const int most = program_.shapes().MostLayers(shaped.shape, device);
    if (most == 0) continue;
    layers[device] = most;
    by_port[links.port(device)].push_back(device);
  }
  std::map<int, double> left;  // of each kind
  for (int cls = 0; cls < classes_.size(); ++cls) {
    left[classes_.kind(cls)] += shaped.devices[cls];
  }
  std::vector<int> best;
  while (!by_port.empty()) {
    std::vector<int> most;
    int most_layers = 0;
    int from = -1;
    for (const auto& [port, devices] : by_port) {
      const std::vector<int> some = Some(devices, left);
      int sum = 0;
      for (const int device : some) sum += layers[device];
      if (sum <= most_layers) continue;
      most_layers = sum;
      most = some;
      from = port;
    }
    if (from < 0) break;
    for (const int device : most) {
      left[classes_.kind(classes_.class_of(device))] -= 1;
      layers.erase(device);
      best.push_back(device);
    }
    by_port.erase(from);
    if (shaped.shape.reach != PipelineReach::kPorts) return best;
  }
  const auto by_layer = [&](int device) {
    return prices_[classes_.class_of(device)] / layers.at(device);
  };
  const auto others = static_cast<int64_t>(best.size());
  for (const auto& [device, most] : layers) best.push_back(device);
  std::stable_sort(best.begin() + others, best.end(),
                   [&](int a, int b) { return by_layer(a) < by_layer(b); });
  return best;
}

// The device to be added for the last stage, the cheapest that keeps within the cycle with the
// head; -1: those of the shape do, or none does.
int FleetBuilder::LastFor(const ShapedPipeline& shaped, const std::vector<int>& free) const {
  int last = -1;
  for (const int device : free) {
    const int cls = classes_.class_of(device);
    if (program_.shapes().MostLayers(shaped.shape, device, kLastStage) == 0) continue;
    if (shaped.devices[cls] > 0) return -1;
    if (last < 0 || prices_[cls] < prices_[classes_.class_of(last)]) last = device;
  }
  return last;
}

// Of `devices`, as many as are left of their kinds.
std::vector<int> FleetBuilder::Some(const std::vector<int>& devices,
                                    std::map<int, double> left) const {
  std::vector<int> some;
  for (const int device : devices) {
    double& more = left[classes_.kind(classes_.class_of(device))];
    if (more < 0.5) continue;
    more -= 1;
    some.push_back(device);
  }
  return some;
}

}  // namespace layercake
