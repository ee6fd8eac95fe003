#pragma once

// What no pipeline can beat: bounds for the searches, and devices to build a good pipeline from.
//
// Every pipeline is a choice of one device for the first layer, one for the last and any others
// between, with numbers of layers that add up to all; none of its stages is quicker than the
// quickest of that length on that device (its envelope). Of the devices that it uses of a port, one
// is entered over a link from another port, and each other over that or a link within the port;
// only the pipeline's first device is entered for nothing. What is least under these conditions
// alone is at most the least of all pipelines. They do not speak of which layers or of the order of
// devices, so knapsacks over the devices of a port and over ports find it in little time.

#include <optional>
#include <vector>

#include "coordinator/placement/search.h"

namespace layercake {

// Interchangeable devices.
struct RelaxedKind {
  std::vector<int> devices;
  int port;
  const StageEnvelope* envelope;
};

struct RelaxedPlacement {
  double sum = 0;  // less rewards
  // That of the first layer first, that of the last one last, others by port.
  std::vector<int> devices;
};

class Relaxation {
 public:
  // Over the devices of `space` in any order; its tables must outlive this.
  explicit Relaxation(const SearchSpace& space);
  Relaxation(const Relaxation&) = delete;
  Relaxation& operator=(const Relaxation&) = delete;

  // Whether there may be a pipeline of at most that period: a device takes at most so many layers
  // then, and a pipeline stays among ports that links of at most the period connect, one way or the
  // other; these must have room for all layers.
  bool Holds(double period) const;

  // No pipeline has a smaller period. kDoesNotFit: there is no pipeline.
  double PeriodBound() const;

  // No pipeline has a smaller cycle.
  double CycleBound() const;

  // No pipeline of at most that period has a smaller sum less `reward` for each stage. nullopt:
  // there is no such pipeline.
  std::optional<RelaxedPlacement> LeastSum(double period, double reward = 0) const;

  // Devices that can take most layers each at that period, enough for all layers and a few to
  // spare, in the order of RelaxedPlacement. Empty: there are not enough.
  std::vector<int> MostLayers(double period) const;

 private:
  struct Group;
  struct Grouping;

  Grouping GroupPorts(double period) const;
  bool CyclesIn(double cycle, const std::vector<double>& link_to) const;

  int num_layers_;
  const LinkTimes& links_;
  std::vector<RelaxedKind> kinds_;
  // A tree of the ports whose slowest links are quickest: it connects at any period what all links
  // do.
  struct Edge {
    int from;
    int to;
    double seconds;
  };
  std::vector<Edge> tree_;
};

// LeastSum's knapsacks.
std::optional<RelaxedPlacement> LeastRelaxedSum(const std::vector<RelaxedKind>& kinds,
                                                const LinkTimes& links, int num_layers,
                                                double period, double reward);

}  // namespace layercake
