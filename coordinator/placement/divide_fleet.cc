#include "coordinator/placement/divide_fleet.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "coordinator/placement/anneal.h"
#include "coordinator/placement/fleet_program.h"
#include "coordinator/placement/pipeline_estimate.h"
#include "coordinator/placement/predict.h"
#include "coordinator/placement/step_tables.h"

namespace layercake {
namespace {

constexpr int kRoundsAgain = 3;  // after each pipeline that is built
// Of pipelines to build next, so many are compared; of few devices, divisions are built that begin
// with one each of so many.
constexpr int kCandidates = 4;
constexpr int kFirstCandidates = 10;
// Where no pipeline can be built with the sequences of its shape, this share of them, and so on.
constexpr double kFewer = 0.75;
constexpr double kFewest = 0.05;
// A pipeline that is built may have so many times the devices of its shape, and some to spare.
constexpr double kMostDevices = 1.3;
constexpr int kSpareDevices = 4;
// So many devices are few: divisions into various numbers of equal pipelines are tried too.
constexpr size_t kFewDevices = 128;
constexpr int kFewPipelines = 4;
constexpr AnnealOptions kQuickly = {.estimates = 10'000, .heat = 0.02};
constexpr AnnealOptions kThoroughly = {.estimates = 250'000, .heat = 0.05};
// Of a device: fewer have fewer ways to be divided.
constexpr int64_t kMostEstimates = 5'000;
// Of the tokens/s of a pipeline.
constexpr double kBonus = 0.5;
// The slowest pipelines that together add less than this share are left out: their requests would
// wait long.
constexpr double kLeastShare = 0.01;
// Of an estimate: what reaches it came out as estimated.
constexpr double kAsEstimated = 0.995;

using Pipelines = std::vector<EstimatedPipeline>;

class FleetDivider {
 public:
  FleetDivider(const CostModel& cost, const DeviceSelection& selection)
      : cost_(cost),
        selection_(selection),
        classes_(cost, selection, DeviceClasses::Middles::kMost),
        estimator_(cost, classes_),
        program_(cost, classes_, PipelineShapes::Take::kKept) {
    all_.resize(selection.devices.size());
    std::iota(all_.begin(), all_.end(), 0);
  }

  FleetDivision Run(int wanted) {
    FleetDivision division = {.bound = Bound(wanted)};
    AnnealOptions quickly = kQuickly;
    AnnealOptions thoroughly = kThoroughly;
    quickly.keep_all = thoroughly.keep_all = wanted > 0;
    Pipelines best;
    const auto consider = [&](Pipelines pipelines) {
      // Where any number is welcome, annealing may revive what generates nothing.
      if (wanted > 0) {
        std::erase_if(pipelines, [](const auto& each) { return each.tokens_per_second <= 0; });
        if (static_cast<int>(pipelines.size()) != wanted) return;
      }
      if (TokensPerSecond(pipelines) > TokensPerSecond(best)) best = std::move(pipelines);
    };
    const std::vector<FleetProgram::Part> parts = SolveFor(all_, FleetProgram::kMaxRounds);
    Pipelines built = BuildOneByOne(all_, parts);
    const auto number = static_cast<int>(built.size());
    consider(std::move(built));
    for (size_t i = 0; i < parts.size() && i < kFirstCandidates && IsFew(); ++i) {
      // The first on as few devices as hold it.
      prices_.assign(prices_.size(), 0);
      built = BuildOneByOne(all_, {parts[i]});
      Anneal(estimator_, quickly, built, Unused(built));
      consider(std::move(built));
    }
    for (const int count : NumbersToDeal(number, wanted)) {
      for (const bool by_port : {false, true}) {
        Pipelines dealt = Deal(count, by_port);
        Anneal(estimator_, quickly, dealt, /*free=*/{});
        consider(std::move(dealt));
      }
    }
    const auto devices = static_cast<int64_t>(all_.size());
    thoroughly.estimates = std::min(thoroughly.estimates, kMostEstimates * devices);
    Anneal(estimator_, thoroughly, best, Unused(best));
    Finish(best, wanted, division);
    return division;
  }

 private:
  bool IsFew() const { return all_.size() <= kFewDevices; }

  std::vector<double> NumbersOf(const std::vector<int>& devices) const {
    std::vector<double> numbers(classes_.size(), 0);
    for (const int device : devices) ++numbers[classes_.class_of(device)];
    return numbers;
  }

  std::vector<int> Unused(const Pipelines& pipelines) const {
    std::vector<bool> used(all_.size(), false);
    for (const EstimatedPipeline& pipeline : pipelines) {
      for (const int device : pipeline.devices) used[device] = true;
    }
    std::vector<int> unused;
    for (const int device : all_) {
      if (!used[device]) unused.push_back(device);
    }
    return unused;
  }

  // No division into as many pipelines as are wanted generates more.
  double Bound(int wanted) {
    const DeviceClasses at_best(cost_, selection_, DeviceClasses::Middles::kLeast);
    FleetProgram program(cost_, at_best, PipelineShapes::Take::kPromised);
    const std::vector<double> numbers = NumbersOf(all_);
    const double bound = program.Solve(numbers, FleetProgram::kMaxRounds);
    worths_ = program.bound_prices();
    if (bound == 0 || (wanted == 0 && !IsFew())) return bound;
    // The program has parts of pipelines. Of whole ones there are at most so many, or more: each
    // then counts for a bonus besides what it generates, and only so many of them do.
    const int fewer = wanted > 0 ? wanted - 1 : static_cast<int>(program.amount());
    const double bonus = kBonus * bound / (fewer + 1);
    FleetProgram boosted(cost_, at_best, PipelineShapes::Take::kPromised, bonus);
    const double of_next =
        boosted.Solve(numbers, FleetProgram::kMaxRounds, fewer + 1) - bonus * (fewer + 1);
    if (wanted > 0) return std::min(bound, of_next);
    // Where one costs no more than its bonus, none of the still larger numbers generates more.
    if (boosted.bound_prices().back() > bonus) return bound;
    return std::min(bound,
                    std::max(of_next, program.Solve(numbers, FleetProgram::kMaxRounds, fewer)));
  }

  // Pipeline by pipeline, each time one that the program for the devices left has most of, of so
  // many candidates the one whose devices are worth least to others for what it generates.
  //   parts: candidates for the first.
  Pipelines BuildOneByOne(std::vector<int> free, std::vector<FleetProgram::Part> parts) {
    Pipelines pipelines;
    while (true) {
      EstimatedPipeline best = BestBuilt(free, parts, /*share=*/1);
      // Shapes are of classes, and promise a little too much: then with fewer sequences.
      for (double share = kFewer; best.devices.empty() && share > kFewest; share *= kFewer) {
        best = BestBuilt(free, parts, share);
      }
      if (best.devices.empty()) return pipelines;
      std::erase_if(free, [&best](int device) {
        return std::ranges::find(best.devices, device) != best.devices.end();
      });
      pipelines.push_back(std::move(best));
      parts = SolveFor(free, kRoundsAgain);
    }
  }

  // What the program has most of, with its prices.
  std::vector<FleetProgram::Part> SolveFor(const std::vector<int>& free, int rounds) {
    program_.Solve(NumbersOf(free), rounds);
    prices_ = program_.prices();
    return program_.parts();
  }

  // The next, of steps of that share of the sequences that the shapes have.
  EstimatedPipeline BestBuilt(const std::vector<int>& free,
                              const std::vector<FleetProgram::Part>& parts, double share) {
    EstimatedPipeline best;
    double least = kDoesNotFit;
    int candidates = kCandidates;
    for (const FleetProgram::Part& part : parts) {
      ShapedPipeline shaped = *part.pipeline;
      const double sequences = share * static_cast<double>(shaped.shape.sequences);
      shaped.shape.sequences = std::max<int64_t>(1, std::llround(sequences));
      EstimatedPipeline built = Build(shaped, free);
      if (built.tokens_per_second <= 0) continue;
      const double price = PriceOf(built.devices) / built.tokens_per_second;
      if (price < least) {
        least = price;
        best = std::move(built);
      }
      if (--candidates == 0) break;
    }
    return best;
  }

  double PriceOf(const std::vector<int>& devices) const {
    double price = 0;
    for (const int device : devices) price += prices_[classes_.class_of(device)];
    return price;
  }

  // The best of the first so many of the devices that would serve best. None: 0 tokens/s.
  EstimatedPipeline Build(const ShapedPipeline& shaped, const std::vector<int>& free) {
    const std::vector<int> devices = BestFor(shaped, free);
    const auto most = static_cast<size_t>(shaped.shape.stages * kMostDevices + kSpareDevices);
    EstimatedPipeline pipeline = {.sequences = shaped.shape.sequences};
    EstimatedPipeline best;
    double least = kDoesNotFit;
    double price = 0;
    for (size_t i = 0; i < std::min(most, devices.size()); ++i) {
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
  std::vector<int> BestFor(const ShapedPipeline& shaped, const std::vector<int>& free) {
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

  // Of `devices`, as many as are left of their kinds.
  std::vector<int> Some(const std::vector<int>& devices, std::map<int, double> left) const {
    std::vector<int> some;
    for (const int device : devices) {
      double& more = left[classes_.kind(classes_.class_of(device))];
      if (more < 0.5) continue;
      more -= 1;
      some.push_back(device);
    }
    return some;
  }

  std::vector<int> NumbersToDeal(int built, int wanted) const {
    if (wanted > 0) return {wanted};
    std::vector<int> numbers;
    if (!IsFew()) return numbers;
    for (int number = 1; number <= built + 2; ++number) {
      if (number <= kFewPipelines || number >= built - 1) numbers.push_back(number);
    }
    return numbers;
  }

  // All devices to so many pipelines of about equal worth: the worthiest first, to the one that has
  // least; or those of a port together.
  Pipelines Deal(int number, bool by_port) {
    const LinkTimes& links = classes_.At(1).links;
    const auto worth = [this](int device) { return worths_[classes_.class_of(device)]; };
    std::vector<int> order = all_;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return by_port ? links.port(a) < links.port(b) : worth(a) > worth(b);
    });
    double sum = 0;
    for (const int device : order) sum += worth(device);
    Pipelines pipelines(number);
    std::vector<double> dealt(number, 0);
    double before = 0;
    for (const int device : order) {
      const auto next = static_cast<size_t>(sum > 0 ? before / sum * number : 0);
      const size_t to = by_port ? std::min<size_t>(next, number - 1)
                                : std::ranges::min_element(dealt) - dealt.begin();
      before += worth(device);
      dealt[to] += worth(device);
      pipelines[to].devices.push_back(device);
    }
    for (EstimatedPipeline& pipeline : pipelines) estimator_.EstimateBest(pipeline, /*all=*/true);
    return pipelines;
  }

  // Finds the stages of each.
  void Finish(const Pipelines& pipelines, int wanted, FleetDivision& division) {
    std::vector<std::pair<double, Pipeline>> found;  // by tokens/s
    double all = 0;
    for (const EstimatedPipeline& pipeline : pipelines) {
      if (pipeline.tokens_per_second <= 0) continue;
      std::optional<Pipeline> exact = Exactly(pipeline);
      if (!exact.has_value()) continue;
      const double rate = Rate(*exact);
      all += rate;
      found.emplace_back(rate, *std::move(exact));
    }
    if (wanted > 0 && static_cast<int>(found.size()) != wanted) return;
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    for (auto& [rate, pipeline] : found) {
      if (wanted == 0 && division.tokens_per_second >= all * (1 - kLeastShare)) break;
      division.tokens_per_second += rate;
      division.pipelines.push_back(std::move(pipeline));
    }
  }

  double Rate(const Pipeline& pipeline) const {
    return Rated(cost_, selection_, pipeline, /*sequences=*/1).tokens_per_second;
  }

  // In the estimate's order, or where that comes out slower than estimated, in any; with fewer
  // sequences where it does not fit after all.
  std::optional<Pipeline> Exactly(const EstimatedPipeline& pipeline) {
    for (int64_t sequences = pipeline.sequences; sequences >= 1; sequences = sequences * 3 / 4) {
      const int64_t in_flight = sequences * static_cast<int64_t>(pipeline.devices.size());
      const int64_t blocks = std::max(cost_.context_blocks(), in_flight * cost_.sequence_blocks());
      StepTables tables = TablesFor(cost_, selection_, estimator_.Order(pipeline), blocks,
                                    sequences, &UsableDevice::crowded_speed);
      tables.in_order = true;
      std::optional<Pipeline> found = MinimiseCycle(tables.space());
      if (found.has_value() && Rate(*found) >= kAsEstimated * pipeline.tokens_per_second) {
        return found;
      }
      tables.in_order = false;
      std::optional<Pipeline> other = MinimiseCycle(tables.space());
      if (!found.has_value() || (other.has_value() && Rate(*other) > Rate(*found))) {
        found = std::move(other);
      }
      if (found.has_value()) return found;
    }
    return std::nullopt;
  }

  const CostModel& cost_;
  const DeviceSelection& selection_;
  const DeviceClasses classes_;
  PipelineEstimator estimator_;
  FleetProgram program_;
  std::vector<int> all_;
  std::vector<double> prices_;  // of a device of each class, as SolveFor found
  std::vector<double> worths_;  // tokens/s of a device of each class
};

}  // namespace

FleetDivision DivideFleet(const CostModel& cost, const DeviceSelection& selection, int wanted) {
  return FleetDivider(cost, selection).Run(wanted);
}

}  // namespace layercake
