#pragma once

// The cheapest whole devices for one pipeline.

#include <array>
#include <optional>
#include <vector>

namespace layercake {

// Which stage a device is given: the first, the last or one between.
enum StageRole { kFirstStage, kMiddleStage, kLastStage };

// Interchangeable devices. One that takes n layers costs its role's `cost` and n * cost_per_layer,
// both >= 0.
struct DeviceOffer {
  struct Role {
    int most_layers = 0;  // 0: none is given that stage
    double cost = 0;
  };

  int number = 0;
  std::array<Role, 3> roles;  // by StageRole
  double cost_per_layer = 0;
};

struct WholeDevices {
  double cost = 0;
  std::vector<double> numbers;  // of each offer
};

// What takes `layers` layers for least, with one first and one last stage. Of an offer, as many as
// there are may be between the ends, whatever its devices at the ends. nullopt: the layers are too
// many.
std::optional<WholeDevices> CheapestDevices(const std::vector<DeviceOffer>& offers, int layers);

}  // namespace layercake
