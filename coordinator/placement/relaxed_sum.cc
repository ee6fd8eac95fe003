#include <algorithm>
#include <map>

#include "coordinator/placement/relaxation.h"

namespace layercake {
namespace {

// Which ends of the pipeline a choice of devices has, as bits.
constexpr int kNeither = 0;
constexpr int kFirst = 1;
constexpr int kLast = 2;
constexpr int kBoth = 3;

// The least seconds by ends and by number of layers placed.
class Sums {
 public:
  explicit Sums(int num_layers)
      : width_(num_layers + 1), seconds_(4 * static_cast<size_t>(width_), kDoesNotFit) {}

  // No more layers than this are placed in any sum.
  int reach() const { return reach_; }

  // Takes `count` layers more in so many seconds, onto every sum of `from` with those ends.
  void Add(const Sums& from, int ends, int count, double seconds, int own) {
    if (seconds == kDoesNotFit) return;
    const double* before = from[ends];
    double* after = (*this)[ends | own] + count;
    const int reach = std::min(from.reach_, width_ - 1 - count);
    for (int n = 0; n <= reach; ++n) {
      const double sum = before[n] + seconds;
      after[n] = sum < after[n] ? sum : after[n];
    }
    reach_ = std::max(reach_, reach + count);
  }

  double* operator[](int ends) { return &seconds_[static_cast<size_t>(ends) * width_]; }
  const double* operator[](int ends) const { return &seconds_[static_cast<size_t>(ends) * width_]; }

 private:
  int width_;
  int reach_ = 0;
  std::vector<double> seconds_;
};

// One way to use a device: the ends it takes and its seconds by count of layers, links included.
struct Use {
  int ends;
  const std::vector<double>* seconds;
  double link;
};

class RelaxedSum {
 public:
  RelaxedSum(const std::vector<RelaxedKind>& kinds, const LinkTimes& links, int num_layers,
             double period, double reward)
      : links_(links), num_layers_(num_layers), period_(period), reward_(reward) {
    for (const RelaxedKind& kind : kinds) {
      if (kind.envelope->whole - reward < whole_ && kind.envelope->whole <= period) {
        whole_ = kind.envelope->whole - reward;
        whole_device_ = kind.devices[0];
      }
      Port& port = ports_[kind.port];
      const size_t most = std::min<size_t>(kind.devices.size(), num_layers);
      for (size_t i = 0; i < most; ++i) {
        port.devices.push_back(kind.devices[i]);
        port.envelopes.push_back(kind.envelope);
      }
    }
  }

  std::optional<RelaxedPlacement> Run() {
    std::vector<Sums> so_far = {Sums(num_layers_)};
    so_far[0][kNeither][0] = 0;
    for (auto& [number, port] : ports_) {
      SetLinks(number, port);
      FillPort(port);
      so_far.push_back(WithPort(so_far.back(), port));
    }
    const double sum = so_far.back()[kBoth][num_layers_];
    if (whole_ <= sum) {
      if (whole_ == kDoesNotFit) return std::nullopt;
      return RelaxedPlacement{.sum = whole_, .devices = {whole_device_}};
    }
    return TraceBack(so_far, sum);
  }

 private:
  struct Port {
    std::vector<int> devices;
    std::vector<const StageEnvelope*> envelopes;
    double enter = kDoesNotFit;  // link from another port
    bool left = false;           // whether there is a link to another port
    double step = kDoesNotFit;   // the quickest link to any of its devices
    std::vector<Sums> sums;      // of the first n devices
  };

  void SetLinks(int number, Port& port) const {
    for (const auto& [other, unused] : ports_) {
      if (other == number) continue;
      const double link = links_.between_ports(other, number);
      if (link <= period_) port.enter = std::min(port.enter, link);
      if (links_.between_ports(number, other) <= period_) port.left = true;
    }
    port.step = port.enter;
    const double within = links_.between_ports(number, number);
    if (port.devices.size() > 1 && within <= period_) port.step = std::min(port.step, within);
  }

  static std::vector<Use> UsesOf(const Port& port, size_t device) {
    const StageEnvelope& envelope = *port.envelopes[device];
    return {{.ends = kNeither, .seconds = &envelope.middle.seconds, .link = port.step},
            {.ends = kFirst, .seconds = &envelope.first.seconds, .link = 0},
            {.ends = kLast, .seconds = &envelope.last.seconds, .link = port.step}};
  }

  double SecondsOf(const Use& use, int count) const {
    const double seconds = (*use.seconds)[count];
    return seconds <= period_ ? seconds - reward_ + use.link : kDoesNotFit;
  }

  void FillPort(Port& port) const {
    port.sums.assign(1, Sums(num_layers_));
    port.sums[0][kNeither][0] = 0;
    for (size_t device = 0; device < port.devices.size(); ++device) {
      const Sums& before = port.sums.back();
      Sums after = before;
      for (const Use& use : UsesOf(port, device)) {
        for (int count = 1; count < num_layers_; ++count) {
          const double seconds = SecondsOf(use, count);
          for (int ends = kNeither; ends <= kBoth; ++ends) {
            if ((ends & use.ends) != 0) continue;
            after.Add(before, ends, count, seconds, use.ends);
          }
        }
      }
      port.sums.push_back(std::move(after));
    }
  }

  // What entering a port for its devices takes beyond what each of them was charged; kDoesNotFit if
  // it cannot be entered, or left, for so many layers.
  double Entry(const Port& port, int ends, int count) const {
    const bool all = ends == kBoth && count == num_layers_;
    if (ends != kLast && !port.left && !all) return kDoesNotFit;
    if ((ends & kFirst) != 0) return 0;
    return port.enter == kDoesNotFit ? kDoesNotFit : port.enter - port.step;
  }

  Sums WithPort(const Sums& before, const Port& port) const {
    Sums after = before;
    for (int own = kNeither; own <= kBoth; ++own) {
      for (int count = 1; count <= port.sums.back().reach(); ++count) {
        const double seconds = port.sums.back()[own][count] + Entry(port, own, count);
        for (int ends = kNeither; ends <= kBoth; ++ends) {
          if ((ends & own) == 0) after.Add(before, ends, count, seconds, own);
        }
      }
    }
    return after;
  }

  RelaxedPlacement TraceBack(const std::vector<Sums>& so_far, double sum) const {
    RelaxedPlacement placement{.sum = sum};
    int first = -1;
    int last = -1;
    int ends = kBoth;
    int layers = num_layers_;
    auto port = ports_.rbegin();
    for (size_t i = ports_.size(); i > 0; --i, ++port) {
      const Sums& before = so_far[i - 1];
      const double seconds = so_far[i][ends][layers];
      if (before[ends][layers] == seconds) continue;
      const auto [own, count] = PartOf(before, port->second, ends, layers, seconds);
      TracePort(port->second, own, count, placement.devices, first, last);
      ends &= ~own;
      layers -= count;
    }
    placement.devices.insert(placement.devices.begin(), first);
    placement.devices.push_back(last);
    return placement;
  }

  // The ends and layers that the port has of a sum.
  std::pair<int, int> PartOf(const Sums& before, const Port& port, int ends, int layers,
                             double sum) const {
    for (int own = kNeither; own <= kBoth; ++own) {
      if ((own & ~ends) != 0) continue;
      for (int count = 1; count <= layers; ++count) {
        const double seconds = port.sums.back()[own][count] + Entry(port, own, count);
        if (before[ends & ~own][layers - count] + seconds == sum) return {own, count};
      }
    }
    return {kNeither, 0};
  }

  void TracePort(const Port& port, int ends, int layers, std::vector<int>& between, int& first,
                 int& last) const {
    for (size_t device = port.devices.size(); device > 0 && layers > 0; --device) {
      const Sums& before = port.sums[device - 1];
      const double sum = port.sums[device][ends][layers];
      if (before[ends][layers] == sum) continue;
      const auto [own, count] = PartOfDevice(before, port, device - 1, ends, layers, sum);
      if (own == kFirst) first = port.devices[device - 1];
      if (own == kLast) last = port.devices[device - 1];
      if (own == kNeither) between.push_back(port.devices[device - 1]);
      ends &= ~own;
      layers -= count;
    }
  }

  std::pair<int, int> PartOfDevice(const Sums& before, const Port& port, size_t device, int ends,
                                   int layers, double sum) const {
    for (const Use& use : UsesOf(port, device)) {
      if ((use.ends & ~ends) != 0) continue;
      for (int count = 1; count <= layers && count < num_layers_; ++count) {
        if (before[ends & ~use.ends][layers - count] + SecondsOf(use, count) == sum) {
          return {use.ends, count};
        }
      }
    }
    return {kNeither, 0};
  }

  const LinkTimes& links_;
  const int num_layers_;
  const double period_;
  const double reward_;
  double whole_ = kDoesNotFit;
  int whole_device_ = -1;
  std::map<int, Port> ports_;
};

}  // namespace

std::optional<RelaxedPlacement> LeastRelaxedSum(const std::vector<RelaxedKind>& kinds,
                                                const LinkTimes& links, int num_layers,
                                                double period, double reward) {
  return RelaxedSum(kinds, links, num_layers, period, reward).Run();
}

}  // namespace layercake
