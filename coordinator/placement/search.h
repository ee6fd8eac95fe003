#pragma once

// The search for the best pipeline, over a plain table of stage times: it knows nothing of models,
// bytes or devices' names.

#include <limits>
#include <optional>
#include <vector>

namespace layercake {

inline constexpr double kDoesNotFit = std::numeric_limits<double>::infinity();

// seconds(device, first, count) of the stage [first, first + count) on `device`, or kDoesNotFit.
class StageTimes {
 public:
  // All kDoesNotFit at first.
  StageTimes(int num_devices, int num_layers)
      : num_devices_(num_devices),
        num_layers_(num_layers),
        seconds_(static_cast<size_t>(num_devices) * num_layers * (num_layers + 1), kDoesNotFit) {}

  int num_devices() const { return num_devices_; }
  int num_layers() const { return num_layers_; }
  // REQUIRES: 0 <= first, 1 <= count, first + count <= num_layers.
  double at(int device, int first, int count) const {
    return seconds_[Index(device, first, count)];
  }
  void set(int device, int first, int count, double seconds) {
    seconds_[Index(device, first, count)] = seconds;
  }

 private:
  size_t Index(int device, int first, int count) const {
    return (static_cast<size_t>(device) * num_layers_ + first) * (num_layers_ + 1) + count;
  }

  int num_devices_;
  int num_layers_;
  std::vector<double> seconds_;
};

struct StageChoice {
  int device;
  int first;
  int count;
};

struct Pipeline {
  std::vector<StageChoice> stages;  // in pipeline order; together all layers, each device once
  double slowest = 0;               // seconds of the slowest stage
  double sum = 0;                   // of all stages
};

// Which orders of devices a search may use. Any device may be left out in either case.
struct DeviceOrders {
  // Every order. The search is then exact, in time exponential in the number of devices.
  bool every = false;
  // Else only these: permutations of the devices.
  std::vector<std::vector<int>> listed;
};

// The largest number of devices for which trying every order is reasonable (about 0.1 s a search).
inline constexpr int kMaxDevicesInEveryOrder = 10;

// The pipeline with the smallest slowest stage; among those, with the smallest sum.
// nullopt: nothing fits.
std::optional<Pipeline> MinimiseSlowest(const StageTimes& times, const DeviceOrders& orders);

// The pipeline with the smallest sum of stages, none slower than `slowest_allowed`; among equals
// (to rounding), the one of fewer stages. nullopt: nothing fits.
std::optional<Pipeline> MinimiseSum(const StageTimes& times, const DeviceOrders& orders,
                                    double slowest_allowed = kDoesNotFit);

}  // namespace layercake
