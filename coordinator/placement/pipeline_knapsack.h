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

  // By class.
  //   prices: of a device, >= 0.   numbers: of devices.
  PipelineKnapsack(const std::vector<DeviceShare>& shares, const PipelineDemand& demand,
                   const std::vector<double>& prices, const std::vector<double>& numbers);

  // Whether layers and devices can be had, whatever the seconds.
  bool Feasible() const;

  // Not made better than `enough`.
  //   fees: where to begin; the best found.
  double LeastPrice(double enough, Fees& fees);

  // Devices of each class that meet the demand for about as little.
  std::vector<double> Devices(const Fees& fees);

 private:
  // A class that can add to the pipeline.
  struct Offer {
    int cls;
    double number;
    double price;
    double layers;  // of a device
    double overhead;
    double per_layer;
    double excess;  // of its seconds over the cycle, with all its layers
  };
  // The cheapest with some fees, and what it comes to.
  struct Filling {
    double fee = 0;      // for a device
    double price = 0;    // with the fee for seconds, without that for devices
    double devices = 0;  // in all
    double excess = 0;   // of seconds
  };
  // The best fee for devices, given that for seconds: that of a mix of two fillings, of too many
  // devices and of few enough.
  struct Bounded {
    double price = 0;
    double fee = 0;
    double slope = 0;  // of the price, by the fee for seconds
    double many_fee = 0;
    double few_fee = 0;
    double share_of_few = 1;
  };
  struct Ranked {
    double price = 0;  // of a layer
    size_t offer = 0;
  };

  double Bound(const Filling& filling) const;
  double LeastFee(double per_second, double& slope) const;
  void Rank(double fee, double per_second);
  template <typename Each>
  void TakeCheapest(const Each& each) const;
  Filling Fill(double fee, double per_second);
  Bounded BestFee(double enough, double fee, double per_second);
  std::vector<double> Take(double fee, double& excess);

  PipelineDemand demand_;
  std::vector<Offer> offers_;
  std::vector<Ranked> ranked_;  // all, as by the last fees
  bool is_ranked_ = false;
  size_t num_classes_;
};

}  // namespace layercake
