#include "coordinator/placement/divide_fleet.h"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "coordinator/placement/anneal.h"
#include "coordinator/placement/equal_groups.h"
#include "coordinator/placement/fastest_pipeline.h"
#include "coordinator/placement/fleet_builder.h"
#include "coordinator/placement/fleet_program.h"
#include "coordinator/placement/pipeline_estimate.h"
#include "coordinator/placement/predict.h"
#include "coordinator/placement/step_tables.h"

namespace layercake {
namespace {

// Of few devices, divisions are built that begin with each of so many pipelines.
constexpr int kFirstCandidates = 10;
constexpr int kFewCandidates = 3;  // of a group of equal hosts
// So many devices are few: divisions into various numbers of equal pipelines are tried too.
constexpr size_t kFewDevices = 128;
constexpr int kFewPipelines = 4;
// Of the program after each pipeline of a division, of which few devices have many.
constexpr int kFewRounds = 3;
constexpr int kManyRounds = 30;
// Groups of equal hosts have about so many devices, or pipelines, whichever is more.
constexpr size_t kGroupDevices = 64;
constexpr size_t kGroupPipelines = 8;
// Parts of devices of so many classes are hardly ever whole.
constexpr int kFewClasses = 8;
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
        estimator_(cost, classes_) {
    builders_.emplace_back(cost, classes_, estimator_, PipelineShapes::Devices::kParts);
    if (HasFewClasses()) {
      builders_.emplace_back(cost, classes_, estimator_, PipelineShapes::Devices::kWhole);
    }
    all_.resize(selection.devices.size());
    std::iota(all_.begin(), all_.end(), 0);
  }

  FleetDivision Run(int wanted) {
    FleetDivision division = {.bound = Bound(wanted)};
    Pipelines best = BestOf(all_, wanted, kFirstCandidates);
    if (wanted == 0 && !IsFew(all_) && HasFewClasses()) {
      const size_t pipelines = std::max<size_t>(1, best.size());
      const size_t group_devices =
          std::max(kGroupDevices, kGroupPipelines * all_.size() / pipelines);
      Pipelines repeated = Repeated(group_devices);
      if (TokensPerSecond(repeated) > TokensPerSecond(best)) best = std::move(repeated);
    }
    AnnealOptions thoroughly = kThoroughly;
    thoroughly.keep_all = wanted > 0;
    const auto devices = static_cast<int64_t>(all_.size());
    thoroughly.estimates = std::min(thoroughly.estimates, kMostEstimates * devices);
    Anneal(estimator_, thoroughly, best, Unused(all_, best));
    Finish(best, wanted, division);
    return division;
  }

 private:
  static bool IsFew(const std::vector<int>& devices) { return devices.size() <= kFewDevices; }
  bool HasFewClasses() const { return classes_.size() <= kFewClasses; }

  // Of `devices`.
  std::vector<int> Unused(std::vector<int> devices, const Pipelines& pipelines) const {
    std::vector<bool> used(all_.size(), false);
    for (const EstimatedPipeline& pipeline : pipelines) {
      for (const int device : pipeline.devices) used[device] = true;
    }
    std::erase_if(devices, [&used](int device) { return used[device]; });
    return devices;
  }

  // Of those that are built and dealt on `devices`.
  //   first_candidates: so many pipelines of few devices are begun with.
  Pipelines BestOf(const std::vector<int>& devices, int wanted, int first_candidates) {
    AnnealOptions quickly = kQuickly;
    quickly.keep_all = wanted > 0;
    Pipelines best;
    const auto consider = [&](Pipelines pipelines) {
      // Where any number is welcome, annealing may revive what generates nothing.
      if (wanted > 0) {
        std::erase_if(pipelines, [](const auto& each) { return each.tokens_per_second <= 0; });
        if (static_cast<int>(pipelines.size()) != wanted) return;
      }
      if (TokensPerSecond(pipelines) > TokensPerSecond(best)) best = std::move(pipelines);
    };
    int number = 0;
    const int rounds = IsFew(devices) ? kFewRounds : kManyRounds;
    for (FleetBuilder& builder : builders_) {
      Pipelines built = builder.Build(devices, rounds);
      number = static_cast<int>(built.size());
      if (!IsFew(devices) || builders_.size() > 1) {
        Anneal(estimator_, quickly, built, Unused(devices, built));
      }
      consider(std::move(built));
      for (int i = 0; i < first_candidates && IsFew(devices); ++i) {
        built = builder.BuildBeginningWith(i, devices, rounds);
        if (built.empty()) break;
        Anneal(estimator_, quickly, built, Unused(devices, built));
        consider(std::move(built));
      }
    }
    for (const int count : NumbersToDeal(number, wanted, IsFew(devices))) {
      for (const bool by_port : {false, true}) {
        Pipelines dealt = Deal(devices, count, by_port);
        Anneal(estimator_, quickly, dealt, /*free=*/{});
        consider(std::move(dealt));
      }
    }
    return best;
  }

  // No division into as many pipelines as are wanted generates more.
  double Bound(int wanted) {
    const DeviceClasses at_best(cost_, selection_, DeviceClasses::Middles::kLeast);
    FleetProgram program(cost_, at_best, PipelineShapes::Take::kPromised);
    const std::vector<double> numbers = NumbersOf(classes_, all_);
    double bound = program.Solve(numbers, FleetProgram::kMaxRounds);
    worths_ = program.bound_prices();
    if (HasFewClasses()) {
      FleetProgram whole(cost_, at_best, PipelineShapes::Take::kPromised, /*bonus=*/0,
                         PipelineShapes::Devices::kWhole);
      bound = std::min(bound, whole.Solve(numbers, FleetProgram::kMaxRounds));
    }
    if (bound == 0 || (wanted == 0 && !IsFew(all_))) return bound;
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

  // The best division that is found of one of many equal groups of hosts, in each of them.
  Pipelines Repeated(size_t group_devices) {
    const EqualGroups equal = GroupEqualPorts(classes_, classes_.At(1).links, group_devices);
    if (equal.groups.size() < 2) return {};
    Pipelines all = BestOf(equal.rest, /*wanted=*/0, kFewCandidates);
    const std::vector<int>& first = equal.groups[0];
    std::map<int, size_t> place;
    for (size_t i = 0; i < first.size(); ++i) place[first[i]] = i;
    for (const EstimatedPipeline& pipeline : BestOf(first, /*wanted=*/0, kFewCandidates)) {
      for (const std::vector<int>& group : equal.groups) {
        EstimatedPipeline& copy = all.emplace_back(pipeline);
        for (int& device : copy.devices) device = group[place.at(device)];
      }
    }
    return all;
  }

  static std::vector<int> NumbersToDeal(int built, int wanted, bool is_few) {
    if (wanted > 0) return {wanted};
    std::vector<int> numbers;
    if (!is_few) return numbers;
    for (int number = 1; number <= built + 2; ++number) {
      if (number <= kFewPipelines || number >= built - 1) numbers.push_back(number);
    }
    return numbers;
  }

  // All devices to so many pipelines of about equal worth: the worthiest first, to the one that has
  // least; or those of a port together.
  Pipelines Deal(std::vector<int> order, int number, bool by_port) {
    const LinkTimes& links = classes_.At(1).links;
    const auto worth = [this](int device) { return worths_[classes_.class_of(device)]; };
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
    return layercake::TokensPerSecond(cost_, selection_, pipeline);
  }

  // In the estimate's order, or where that comes out slower than estimated, in any and with any
  // room.
  std::optional<Pipeline> Exactly(const EstimatedPipeline& pipeline) {
    const KvRoom room = {pipeline.sequences, static_cast<int64_t>(pipeline.devices.size())};
    StepTableCache cache(cost_, selection_, &UsableDevice::crowded_speed);
    SearchSpace space = cache.For(estimator_.Order(pipeline), room);
    space.in_order = true;
    std::optional<Pipeline> found = MinimiseCycle(space);
    const double rate = found.has_value() ? Rate(*found) : 0;
    if (rate >= kAsEstimated * pipeline.tokens_per_second) return found;
    std::vector<int> devices = pipeline.devices;
    std::ranges::sort(devices);
    auto fastest = FindFastestPipeline(cost_, selection_, devices, rate);
    return fastest.has_value() ? std::move(fastest->rated.pipeline) : found;
  }

  const CostModel& cost_;
  const DeviceSelection& selection_;
  const DeviceClasses classes_;
  PipelineEstimator estimator_;
  std::deque<FleetBuilder> builders_;
  std::vector<int> all_;
  std::vector<double> worths_;  // tokens/s of a device of each class
};

}  // namespace

FleetDivision DivideFleet(const CostModel& cost, const DeviceSelection& selection, int wanted) {
  return FleetDivider(cost, selection).Run(wanted);
}

}  // namespace layercake
