#pragma once

// How workers reach each other: what was measured or written down, else a guess.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/placement/planner.h"
#include "coordinator/placement/stage_times.h"

namespace layercake {

// A message of n bytes takes latency_seconds + n / bytes_per_second.
struct LinkSpeed {
  double latency_seconds = 0;
  double bytes_per_second = 0;

  bool operator==(const LinkSpeed&) const = default;

  double Seconds(double bytes) const { return latency_seconds + bytes / bytes_per_second; }
};

// What is assumed of links that nobody gave: a stream over loopback, and gigabit Ethernet.
inline constexpr LinkSpeed kLinkWithinHost{.latency_seconds = 50e-6, .bytes_per_second = 2e9};
inline constexpr LinkSpeed kLinkBetweenHosts{.latency_seconds = 200e-6, .bytes_per_second = 118e6};

// The link of every ordered pair of workers. Workers of a host that no link names are reached
// alike.
class LinkMap {
 public:
  LinkMap() = default;

  // The links among `devices`, in that order, which are some of `fleet`'s. From one worker to
  // another that is the link between the two; else from the one to the other's host, from its host
  // to the other, from host to host; each time the way back if only that is known; else a guess. A
  // name that is a worker's and a host's means the worker.
  // Errors: InvalidArgument (a latency that is negative or no number, a bandwidth that is not a
  // positive number, a name that is neither worker nor host, a link given twice or to itself).
  static absl::StatusOr<LinkMap> Of(const Fleet& fleet,
                                    std::span<const PlannerDevice* const> devices);

  // Of messages of `bytes`.
  LinkTimes Times(double bytes) const;
  // By index in `devices`.
  const LinkSpeed& at(int from, int to) const { return between_ports(ports_[from], ports_[to]); }

 private:
  const LinkSpeed& between_ports(int from, int to) const {
    return links_[static_cast<size_t>(from) * num_ports_ + to];
  }
  bool Alike(int a, int b, const std::vector<int>& sizes) const;
  void MergePorts();

  std::vector<int> ports_;
  int num_ports_ = 0;
  std::vector<LinkSpeed> links_;
};

}  // namespace layercake
