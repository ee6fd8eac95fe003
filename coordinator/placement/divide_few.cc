#include "coordinator/placement/divide_few.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <queue>
#include <utility>

#include "coordinator/placement/device_sets.h"
#include "coordinator/placement/device_states.h"
#include "coordinator/placement/step_tables.h"

namespace layercake {
namespace {

// The work of searches is counted in subsets of the sets that are searched, and what any search
// takes as so many; that of dividing in pairs of sets, of which so many count for one. Little is
// needed but where very many divisions are about as good: after much, a division is good enough
// that is known to lack at most so much; after the most, any.
constexpr int64_t kWorkOfAnySearch = 100;
constexpr int64_t kPairsOfWork = 1000;
constexpr int64_t kWorkAtOnce = 20'000;
constexpr int64_t kMuchWork = 250'000;
constexpr int64_t kMaxWork = 500'000;
constexpr double kGoodEnough = 0.005;
// Sets are searched together whose best divisions promise as much but for this share.
constexpr double kAsPromising = 0.005;
constexpr double kFirst = kDoesNotFit;  // promises more than any

// As many steps as there are devices, or fewer of one sequence.
std::vector<KvRoom> RoomsOf(int64_t devices, int64_t batch) {
  std::vector<KvRoom> rooms;
  for (int64_t steps = 1; steps < devices; ++steps) rooms.push_back({1, steps});
  for (int64_t sequences = 1; sequences <= batch; ++sequences) {
    rooms.push_back({sequences, devices});
  }
  return rooms;
}

// The best pipeline of one set of devices, looked for step by step: ranges of rooms are bounded,
// and the most promising halved until it is one room, which is searched (branch and bound).
class SetSearch {
 public:
  // rooms: RoomsOf so many devices; must outlive this, as the tables must.
  SetSearch(StepTableCache& tables, std::vector<int> devices, const std::vector<KvRoom>& rooms)
      : tables_(tables), devices_(std::move(devices)), rooms_(rooms) {
    Add(0, rooms_.size() - 1, Cycle(0));
    HalveBest();
  }

  const RatedPipeline& best() const { return best_; }
  // No pipeline of all devices generates more.
  double bound() const {
    return std::max(best_.tokens_per_second, ranges_.empty() ? 0 : ranges_.top().bound);
  }
  bool IsSettled() const { return bound() <= best_.tokens_per_second; }

  // Searches the most promising room. REQUIRES: !IsSettled().
  void Advance() {
    const KvRoom room = rooms_[ranges_.top().first];
    ranges_.pop();
    const SearchSpace space = SpaceFor(room);
    if (room.steps == static_cast<int64_t>(devices_.size())) {
      AllInFlight(space, room);
    } else {
      FewInFlight(space, room);
    }
    HalveBest();
  }

 private:
  // Of rooms, the last one included.
  struct Range {
    size_t first;
    size_t last;
    double cycle;  // of the first one, at least
    double bound;  // tokens/s

    bool operator<(const Range& other) const { return bound < other.bound; }
  };

  SearchSpace SpaceFor(const KvRoom& room) { return tables_.For(devices_, room); }

  double Cycle(size_t room) { return CycleBound(SpaceFor(rooms_[room])); }

  void Add(size_t first, size_t last, double cycle) {
    const double bound = static_cast<double>(rooms_[last].sequences) / cycle;
    if (bound > best_.tokens_per_second * (1 + kSamePrediction)) {
      ranges_.push({first, last, cycle, bound});
    }
  }

  void HalveBest() {
    while (!ranges_.empty() && ranges_.top().first < ranges_.top().last) {
      const Range range = ranges_.top();
      ranges_.pop();
      const size_t middle = (range.first + range.last) / 2;
      Add(range.first, middle, range.cycle);
      Add(middle + 1, range.last, Cycle(middle + 1));
    }
    if (IsAlike()) ranges_ = {};
  }

  bool IsAlike() const {
    return !ranges_.empty() &&
           ranges_.top().bound <= best_.tokens_per_second * (1 + kSamePrediction);
  }

  void Keep(Pipeline pipeline, int64_t sequences, double tokens_per_second) {
    if (tokens_per_second <= best_.tokens_per_second * (1 + kSamePrediction)) return;
    best_ = {std::move(pipeline), sequences, tokens_per_second};
  }

  double CycleAllowed(double sequences) const {
    return best_.tokens_per_second > 0 ? sequences / best_.tokens_per_second : kDoesNotFit;
  }

  void AllInFlight(const SearchSpace& space, const KvRoom& room) {
    const auto sequences = static_cast<double>(room.sequences);
    std::optional<Pipeline> found = MinimiseCycle(space, CycleAllowed(sequences));
    if (!found.has_value()) return;
    const double rate = sequences / found->cycle();
    Keep(*std::move(found), room.sequences, rate);
  }

  // On all devices: fewer are a set of their own. The time of a step counts: all of it, or as often
  // as there are steps its slowest part, whichever is more.
  void FewInFlight(SearchSpace space, const KvRoom& room) {
    const auto steps = static_cast<double>(room.steps);
    const auto stages = static_cast<double>(devices_.size());
    // More than any sum, so that none of fewer stages is less.
    space.reward = LongestSum(space);
    double period = CycleAllowed(1);
    while (true) {
      std::optional<Pipeline> found =
          MinimiseSum(space, period, steps * CycleAllowed(1) - space.reward * stages);
      if (!found.has_value() || found->stages.size() < devices_.size()) return;
      const bool by_sum = found->sum >= steps * found->period;
      const double rate = steps / std::max(found->sum, steps * found->period);
      period = std::nextafter(found->period, 0);
      Keep(*std::move(found), 1, rate);
      if (by_sum) return;
    }
  }

  double LongestSum(const SearchSpace& space) const {
    double sum = 0;
    for (const int device : devices_) {
      sum += space.times.seconds(space.times.row(device), 0, space.times.num_layers());
      double link = 0;
      for (const int other : devices_) {
        if (other != device) link = std::max(link, space.links.at(other, device));
      }
      sum += link;
    }
    return sum;
  }

  StepTableCache& tables_;
  const std::vector<int> devices_;
  const std::vector<KvRoom>& rooms_;
  std::priority_queue<Range> ranges_;
  RatedPipeline best_;
};

// Divides by what the pipelines of sets are bounded by, and searches those that the best division
// has, until that has none but such as were searched.
class FewDivider {
 public:
  FewDivider(const CostModel& cost, const DeviceSelection& selection, DeviceSets sets)
      : tables_(cost, selection, &UsableDevice::crowded_speed), sets_(std::move(sets)) {
    std::vector<int> order;
    for (int set = 1; set < sets_.size(); ++set) order.push_back(set);
    // Sets of as many devices are asked about the same tables.
    std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
      return sets_.devices(a).size() < sets_.devices(b).size();
    });
    searches_.resize(sets_.size());
    bounds_.assign(sets_.size(), -1);
    for (const int set : order) {
      std::vector<int> devices = sets_.devices(set);
      const size_t size = devices.size();
      if (rooms_.count(size) == 0) {
        rooms_[size] = RoomsOf(static_cast<int64_t>(size), cost.limits().max_batch_sequences);
      }
      searches_[set] = std::make_unique<SetSearch>(tables_, std::move(devices), rooms_[size]);
      SetBound(set);
    }
  }

  FewDivision Run(int number, double least_gain) {
    const std::optional<Bounded> most = Best(number, 0);
    if (!most.has_value()) return {};
    for (int fewer = 1; number == 0 && fewer < most->size(); ++fewer) {
      const auto some = Best(fewer, most->bound / (1 + least_gain));
      if (some.has_value()) return {Pipelines(some->division), most->bound};
    }
    return {Pipelines(most->division), most->bound};
  }

 private:
  struct Bounded {
    DeviceSets::Division division;
    double bound;  // no division has more value

    int size() const { return static_cast<int>(division.sets.size()); }
  };

  void SetBound(int set) {
    const double bound = searches_[set]->bound();
    bounds_[set] = bound > 0 ? bound : -1;
  }

  // nullopt: none generates `least`.
  std::optional<Bounded> Best(int number, double least) {
    while (true) {
      std::vector<double> with;
      const std::optional<DeviceSets::Division> promised = sets_.Divide(bounds_, number, &with);
      work_ += sets_.num_pairs() / kPairsOfWork;
      if (!promised.has_value() || promised->value < least) return std::nullopt;
      if (work_ >= kMuchWork) {
        const std::optional<DeviceSets::Division> known = sets_.Divide(Known(), number);
        const double allowed = work_ < kMaxWork ? kGoodEnough : kDoesNotFit;
        if (known.has_value() && promised->value <= known->value * (1 + allowed)) {
          if (known->value < least) return std::nullopt;
          return {{*known, promised->value}};
        }
      }
      const double least_promising = promised->value * (1 - kAsPromising);
      for (const int set : promised->sets) with[set] = kFirst;
      const std::vector<int> unsettled = Unsettled(with, least_promising);
      if (unsettled.empty() || with[unsettled[0]] < kFirst) {
        return {{*promised, promised->value}};
      }
      Advance(unsettled);
    }
  }

  // The sets that are not settled and come with so much at least, those with most first.
  std::vector<int> Unsettled(const std::vector<double>& with, double least) const {
    std::vector<int> unsettled;
    for (int set = 1; set < sets_.size(); ++set) {
      if (with[set] >= least && !searches_[set]->IsSettled()) unsettled.push_back(set);
    }
    std::stable_sort(unsettled.begin(), unsettled.end(),
                     [&with](int a, int b) { return with[a] > with[b]; });
    return unsettled;
  }

  // Searches of the first of them, several so that a division is looked for less often.
  void Advance(const std::vector<int>& unsettled) {
    const int64_t enough = work_ + kWorkAtOnce;
    for (size_t i = 0; i < unsettled.size() && work_ < enough; ++i) {
      const int set = unsettled[i];
      searches_[set]->Advance();
      work_ += kWorkOfAnySearch + sets_.num_subsets(set);
      SetBound(set);
    }
  }

  // What was found, of each set.
  std::vector<double> Known() const {
    std::vector<double> known(searches_.size(), -1);
    for (size_t set = 1; set < known.size(); ++set) {
      const double rate = searches_[set]->best().tokens_per_second;
      if (rate > 0) known[set] = rate;
    }
    return known;
  }

  std::vector<RatedPipeline> Pipelines(const DeviceSets::Division& division) const {
    std::vector<Pipeline> pipelines;
    for (const int set : division.sets) pipelines.push_back(searches_[set]->best().pipeline);
    sets_.MoveApart(division, pipelines);
    std::vector<RatedPipeline> rated;
    for (size_t i = 0; i < pipelines.size(); ++i) {
      rated.push_back(searches_[division.sets[i]]->best());
      rated.back().pipeline = std::move(pipelines[i]);
    }
    std::stable_sort(rated.begin(), rated.end(), [](const auto& a, const auto& b) {
      return a.tokens_per_second > b.tokens_per_second;
    });
    return rated;
  }

  StepTableCache tables_;
  const DeviceSets sets_;
  std::map<size_t, std::vector<KvRoom>> rooms_;       // of so many devices
  std::vector<std::unique_ptr<SetSearch>> searches_;  // by set
  std::vector<double> bounds_;
  int64_t work_ = 0;
};

// Devices that are told apart: all of them where their order is given.
std::vector<std::vector<int>> KindsOf(const CostModel& cost, const DeviceSelection& selection) {
  std::vector<int> devices(selection.devices.size());
  std::iota(devices.begin(), devices.end(), 0);
  if (!selection.in_order) {
    StepTableCache tables(cost, selection, &UsableDevice::crowded_speed);
    return InterchangeableDevices(
        tables.For(devices, {.sequences = cost.limits().max_batch_sequences, .steps = 0}));
  }
  std::vector<std::vector<int>> kinds;
  for (const int device : devices) kinds.push_back({device});
  return kinds;
}

}  // namespace

std::optional<FewDivision> DivideFew(const CostModel& cost, const DeviceSelection& selection,
                                     int number, double least_gain) {
  std::optional<DeviceSets> sets = DeviceSets::Of(KindsOf(cost, selection), kMaxPairsToDivide);
  if (!sets.has_value()) return std::nullopt;
  return FewDivider(cost, selection, *std::move(sets)).Run(number, least_gain);
}

}  // namespace layercake
