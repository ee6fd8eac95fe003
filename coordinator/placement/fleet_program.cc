#include "coordinator/placement/fleet_program.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace layercake {
namespace {

constexpr double kCloseEnough = 0.005;
constexpr double kLeastAmount = 0.02;

}  // namespace

FleetProgram::FleetProgram(const CostModel& cost, const DeviceClasses& classes,
                           PipelineShapes::Take take, double bonus, PipelineShapes::Devices devices)
    : shapes_(cost, classes, take, devices),
      bonus_(bonus),
      program_(std::vector<double>(classes.size() + 1, 0)),
      bound_prices_(shapes_.Worths()) {
  bound_prices_.push_back(0);
  // Devices of a class serve as those of one below it: what keeps prices in order from the first
  // round on, and makes the rounds few.
  for (const auto& [better, worse] : classes.Dominating()) {
    program_.AddExchange(better, worse);
    ++num_exchanges_;
  }
}

double FleetProgram::Solve(std::vector<double> numbers, int rounds, double most) {
  double bound = kDoesNotFit;
  numbers.push_back(most);
  program_.SetLimits(numbers);
  program_.Solve();
  for (int round = 0; round < rounds; ++round) {
    // Half way from the prices of the best bound so far, which those of the program swing around
    // (Wentges 1997).
    std::vector<double> prices = program_.value() > 0 ? program_.prices() : bound_prices_;
    for (size_t cls = 0; cls < prices.size(); ++cls) {
      prices[cls] = (prices[cls] + bound_prices_[cls]) / 2;
    }
    PipelineShapes::Cheapest found = shapes_.FindCheapest(prices, numbers, prices.back(), bonus_);
    if (found.pipelines.empty()) return bound == kDoesNotFit ? 0 : bound;
    if (found.price > 0) {
      const double cost = std::inner_product(prices.begin(), prices.end(), numbers.begin(), 0.0);
      if (cost / found.price < bound) {
        bound = cost / found.price;
        bound_prices_ = prices;
        for (double& price : bound_prices_) price /= found.price;
      }
    }
    for (ShapedPipeline& pipeline : found.pipelines) {
      std::vector<double> uses = pipeline.devices;
      uses.push_back(1);
      program_.Add(pipeline.shape.tokens_per_second() + bonus_, std::move(uses));
      columns_.push_back(std::move(pipeline));
    }
    program_.Solve();
    if (bound <= program_.value() * (1 + kCloseEnough)) break;
  }
  return bound;
}

double FleetProgram::amount() const {
  const std::vector<double> amounts = program_.amounts();
  return std::accumulate(amounts.begin() + static_cast<int64_t>(num_exchanges_), amounts.end(),
                         0.0);
}

std::vector<FleetProgram::Part> FleetProgram::parts() const {
  const std::vector<double> amounts = program_.amounts();
  std::vector<Part> parts;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const double amount = amounts[num_exchanges_ + i];
    if (amount >= kLeastAmount) parts.push_back({amount, &columns_[i]});
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.amount > b.amount; });
  return parts;
}

}  // namespace layercake
