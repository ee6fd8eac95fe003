#include "coordinator/placement/links.h"

#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

// A worker by the numbers of the names that links know it by: its own, then its host's.
struct Known {
  std::vector<int> names;
  bool by_itself = false;
};

// The links that were given, by the names of their ends: a worker's, or '@' and a host's.
class GivenLinks {
 public:
  explicit GivenLinks(const Fleet& fleet) {
    for (const PlannerDevice& device : fleet.devices) {
      workers_.insert(device.name);
      hosts_.insert(device.host);
    }
  }

  absl::Status Add(const v1::Link& link) {
    const auto refuse = [&link](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("the link from \"", link.from(), "\" to \"", link.to(), "\" ", why));
    };
    for (const std::string& name : {link.from(), link.to()}) {
      if (workers_.contains(name) || (!name.empty() && hosts_.contains(name))) continue;
      return refuse(absl::StrCat("names \"", name, "\", which is no worker and no host here"));
    }
    if (!std::isfinite(link.latency_seconds()) || link.latency_seconds() < 0) {
      return refuse(
          absl::StrCat("has a latency of ", link.latency_seconds(), " seconds; give 0 or more"));
    }
    if (!std::isfinite(link.bandwidth_bytes_per_second()) ||
        link.bandwidth_bytes_per_second() <= 0) {
      return refuse(absl::StrCat("has a bandwidth of ", link.bandwidth_bytes_per_second(),
                                 " bytes a second; give more than 0"));
    }
    if (link.from() == link.to() && workers_.contains(link.from())) {
      return refuse("leads from a worker to itself; leave it out");
    }
    const LinkSpeed speed{.latency_seconds = link.latency_seconds(),
                          .bytes_per_second = link.bandwidth_bytes_per_second()};
    const int from = names_.try_emplace(KeyOf(link.from()), names_.size()).first->second;
    const int to = names_.try_emplace(KeyOf(link.to()), names_.size()).first->second;
    if (!links_.emplace(Ends(from, to), speed).second) return refuse("is given twice");
    return absl::OkStatus();
  }

  Known Find(const PlannerDevice& worker) const {
    Known known;
    if (const auto own = names_.find(worker.name); own != names_.end()) {
      known.names.push_back(own->second);
      known.by_itself = true;
    }
    if (const auto host = names_.find("@" + worker.host); host != names_.end()) {
      known.names.push_back(host->second);
    }
    return known;
  }

  // nullptr: none was given.
  const LinkSpeed* Between(const Known& from, const Known& to) const {
    for (const int a : from.names) {
      for (const int b : to.names) {
        for (const uint64_t ends : {Ends(a, b), Ends(b, a)}) {
          if (const auto found = links_.find(ends); found != links_.end()) return &found->second;
        }
      }
    }
    return nullptr;
  }

 private:
  static uint64_t Ends(int from, int to) {
    return static_cast<uint64_t>(from) << 32 | static_cast<uint64_t>(to);
  }
  std::string KeyOf(const std::string& name) const {
    return workers_.contains(name) ? name : "@" + name;
  }

  std::set<std::string> workers_;
  std::set<std::string> hosts_;
  std::map<std::string, int> names_;
  std::unordered_map<uint64_t, LinkSpeed> links_;
};

}  // namespace

absl::StatusOr<LinkMap> LinkMap::Of(const Fleet& fleet,
                                    std::span<const PlannerDevice* const> devices) {
  GivenLinks given(fleet);
  for (const v1::Link& link : fleet.links) LC_RETURN_IF_ERROR(given.Add(link));
  LinkMap map;
  std::map<std::string, int> ports;
  struct Port {
    std::string host;
    Known known;
  };
  std::vector<Port> members;
  for (const PlannerDevice* device : devices) {
    const Known known = given.Find(*device);
    const auto [port, added] =
        ports.try_emplace(known.by_itself ? device->name : "@" + device->host, ports.size());
    if (added) members.push_back({device->host, known});
    map.ports_.push_back(port->second);
  }
  map.num_ports_ = static_cast<int>(members.size());
  map.links_.reserve(members.size() * members.size());
  for (const Port& from : members) {
    for (const Port& to : members) {
      const LinkSpeed* link = given.Between(from.known, to.known);
      if (link == nullptr) link = from.host == to.host ? &kLinkWithinHost : &kLinkBetweenHosts;
      map.links_.push_back(*link);
    }
  }
  return map;
}

LinkTimes LinkMap::Times(double bytes) const {
  std::vector<double> seconds;
  seconds.reserve(links_.size());
  for (const LinkSpeed& link : links_) seconds.push_back(link.Seconds(bytes));
  return LinkTimes(ports_, std::move(seconds));
}

}  // namespace layercake
