#pragma once

// The least that devices for one pipeline of a shape cost.

#include <array>
#include <vector>

#include "coordinator/placement/stage_times.h"

namespace layercake {

// What a device of a class adds to a pipeline.
struct DeviceShare {
  double most_layers = 0;
  // Its stage and the link to it take overhead + layers * per_layer seconds, at least.
  double overhead = 0;
  double per_layer = 0;
  // The same of each StageRole; most_layers and overhead are those of middle stages, or less.
  struct Role {
    int most_layers = 0;
    double overhead = 0;
  };
  std::array<Role, 3> roles;
};

struct PipelineDemand {
  double layers = 0;   // of all shares, at least
  double devices = 0;  // at most
  // All stages and links take no more than this for each device, and once more `free_seconds`: with
  // 0, so many seconds in all; with kDoesNotFit, any number.
  double cycle = kDoesNotFit;
  double free_seconds = 0;
};

// A knapsack of devices in parts, bounded from below by Lagrange multipliers: with a fee for each
// device and for each second, what is cheapest less the fees of as much as is allowed is a bound
// whatever the fees.
class PipelineKnapsack {
 public:
  struct Fees {
    double device = 0;
    double second = 0;
  };

  // By class; all must outlive this.
  //   prices: of a device, >= 0.   numbers: of devices.
  PipelineKnapsack(const std::vector<DeviceShare>& shares, const PipelineDemand& demand,
                   const std::vector<double>& prices, const std::vector<double>& numbers);

  // Whether layers and devices can be had, whatever the seconds.
  bool Feasible() const;

  // Not made better than `enough`.
  //   fees: where to begin; the best found.
  double LeastPrice(double enough, Fees& fees) const;

  // Devices of each class that meet the demand for about as little.
  std::vector<double> Devices(const Fees& fees) const;

 private:
  // The cheapest with some fees, and what it comes to.
  struct Filling {
    double fee = 0;             // for a device
    double price = 0;           // with the fee for seconds, without that for devices
    double devices = 0;         // in all
    double excess = 0;          // of seconds
    std::vector<double> taken;  // of each class
  };
  // The best fee for devices, given that for seconds.
  struct Bounded {
    double price = 0;
    double fee = 0;
    double slope = 0;  // of the price, by the fee for seconds
    std::vector<double> taken;
  };

  double Bound(const Filling& filling) const;
  double LeastFee(double per_second, double& slope) const;
  Filling Fill(const std::vector<DeviceShare>& shares, double fee, double per_second) const;
  Bounded BestFee(const std::vector<DeviceShare>& shares, double enough, double fee,
                  double per_second) const;

  const std::vector<DeviceShare>& shares_;
  PipelineDemand demand_;
  const std::vector<double>& prices_;
  const std::vector<double>& numbers_;
  std::vector<int> usable_;
};

}  // namespace layercake
