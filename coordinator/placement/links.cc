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
  map.MergePorts();
  return map;
}

// Whether the devices of both ports can be told apart by no link.
bool LinkMap::Alike(int a, int b, const std::vector<int>& sizes) const {
  const LinkSpeed& between = between_ports(a, b);
  for (const int port : {a, b}) {
    if (sizes[port] > 1 && between_ports(port, port) != between) return false;
  }
  if (between_ports(b, a) != between) return false;
  for (int other = 0; other < num_ports_; ++other) {
    if (other == a || other == b) continue;
    if (between_ports(a, other) != between_ports(b, other)) return false;
    if (between_ports(other, a) != between_ports(other, b)) return false;
  }
  return true;
}

// Hosts of one device each are as one host where all links among them are the same.
void LinkMap::MergePorts() {
  std::vector<int> sizes(num_ports_, 0);
  for (const int port : ports_) ++sizes[port];
  std::vector<int> merged(num_ports_);  // of each port
  std::vector<int> first;               // of each merged port's
  std::vector<int> second;              // -1: it has but one
  for (int port = 0; port < num_ports_; ++port) {
    size_t to = 0;
    while (to < first.size() && !Alike(first[to], port, sizes)) ++to;
    if (to == first.size()) {
      first.push_back(port);
      second.push_back(-1);
    } else if (second[to] < 0) {
      second[to] = port;
    }
    merged[port] = static_cast<int>(to);
  }
  std::vector<LinkSpeed> links;
  for (size_t from = 0; from < first.size(); ++from) {
    for (size_t to = 0; to < first.size(); ++to) {
      const bool among = from == to && second[from] >= 0;
      links.push_back(between_ports(first[from], among ? second[from] : first[to]));
    }
  }
  for (int& port : ports_) port = merged[port];
  num_ports_ = static_cast<int>(first.size());
  links_ = std::move(links);
}

LinkTimes LinkMap::Times(double bytes) const {
  std::vector<double> seconds;
  seconds.reserve(links_.size());
  for (const LinkSpeed& link : links_) seconds.push_back(link.Seconds(bytes));
  return LinkTimes(ports_, std::move(seconds));
}

}  // namespace layercake
