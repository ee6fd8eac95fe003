#include "coordinator/cluster/link_book.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "layercake/v1/stage.grpc.pb.h"

namespace layercake {
namespace {

constexpr std::chrono::seconds kDeadline(30);
// Some 0.1 s each on a fast link.
constexpr size_t kMostPairs = 30;
constexpr int kRoundTrips = 9;

// The first worker of each host, in order of appearance.
std::vector<size_t> OneOfEachHost(const std::vector<WorkerInfo>& workers) {
  std::vector<size_t> chosen;
  for (size_t i = 0; i < workers.size(); ++i) {
    const bool known = std::ranges::any_of(chosen, [&](size_t other) {
      return workers[other].hello.host() == workers[i].hello.host();
    });
    if (!known) chosen.push_back(i);
  }
  return chosen;
}

// Another worker of the same host; `worker` itself if it is alone.
size_t NeighbourOf(const std::vector<WorkerInfo>& workers, size_t worker) {
  for (size_t i = 0; i < workers.size(); ++i) {
    if (i != worker && workers[i].hello.host() == workers[worker].hello.host()) return i;
  }
  return worker;
}

absl::StatusOr<v1::MeasureLinkResponse> Ask(v1::Stage::Stub& stub, const std::string& probe_key,
                                            const std::string& address) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::MeasureLinkRequest request;
  request.set_probe_key(probe_key);
  request.set_address(address);
  v1::MeasureLinkResponse response;
  LC_RETURN_IF_ERROR(FromGrpcStatus(stub.MeasureLink(&context, request, &response)));
  return response;
}

// Errors: Unavailable (cannot be reached).
absl::StatusOr<std::unique_ptr<v1::Stage::Stub>> Connect(const std::string& address) {
  LC_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, ConnectChannel(address));
  return v1::Stage::NewStub(channel);
}

}  // namespace

absl::StatusOr<v1::MeasureLinkResponse> GrpcLinkProber::Measure(const std::string& from_address,
                                                                const std::string& to_address) {
  LC_ASSIGN_OR_RETURN(const auto stub, Connect(from_address));
  return Ask(*stub, probe_key_, to_address);
}

absl::StatusOr<double> GrpcLinkProber::Latency(const std::string& address) {
  LC_ASSIGN_OR_RETURN(const auto stub, Connect(address));
  LC_RETURN_IF_ERROR(Ask(*stub, probe_key_, "").status());
  std::vector<double> trips;
  for (int i = 0; i < kRoundTrips; ++i) {
    const absl::Time begin = Clock::Real()->Now();
    LC_RETURN_IF_ERROR(Ask(*stub, probe_key_, "").status());
    trips.push_back(absl::ToDoubleSeconds(Clock::Real()->Now() - begin));
  }
  std::ranges::sort(trips);
  return trips[kRoundTrips / 2] / 2;
}

std::vector<LinkPair> PairsToMeasure(const std::vector<WorkerInfo>& workers) {
  std::vector<LinkPair> pairs;
  if (workers.size() * (workers.size() - 1) <= kMostPairs || workers.empty()) {
    for (size_t i = 0; i < workers.size(); ++i) {
      for (size_t j = 0; j < workers.size(); ++j) {
        if (i == j) continue;
        pairs.push_back({workers[i].hello.name(), workers[j].hello.name(), i, j});
      }
    }
    return pairs;
  }
  const std::vector<size_t> chosen = OneOfEachHost(workers);
  for (const size_t i : chosen) {
    for (const size_t j : chosen) {
      const size_t to = i == j ? NeighbourOf(workers, i) : j;
      if (to != i) pairs.push_back({workers[i].hello.host(), workers[to].hello.host(), i, to});
    }
  }
  return pairs;
}

void LinkBook::MeasureNew(const std::vector<WorkerInfo>& workers,
                          const std::function<bool()>& goes_on) {
  if (!Begin()) return;
  Measure(workers, /*all=*/false, goes_on, nullptr);
  End();
}

absl::StatusOr<v1::MeasureLinksResponse> LinkBook::MeasureAll(
    const std::vector<WorkerInfo>& workers) {
  if (workers.empty()) {
    return absl::UnavailableError(
        "no worker has joined; start layercake-worker --coordinator with this address");
  }
  if (!Begin()) return absl::AbortedError("links are being measured; try again after it");
  v1::MeasureLinksResponse response;
  Measure(
      workers, /*all=*/true, [] { return true; }, &response);
  End();
  return response;
}

bool LinkBook::Begin() {
  MutexLock lock(mutex_);
  return !std::exchange(measuring_, true);
}

void LinkBook::End() {
  MutexLock lock(mutex_);
  measuring_ = false;
}

void LinkBook::Measure(const std::vector<WorkerInfo>& workers, bool all,
                       const std::function<bool()>& goes_on, v1::MeasureLinksResponse* response) {
  for (const WorkerInfo& worker : workers) {
    if (goes_on()) MeasureLatency(worker, all);
  }
  for (const LinkPair& pair : PairsToMeasure(workers)) {
    if (!goes_on()) return;
    const Names names(pair.from, pair.to);
    {
      MutexLock lock(mutex_);
      if (!tried_.insert(names).second && !all) continue;
    }
    const auto measured = prober_.Measure(workers[pair.from_worker].hello.address(),
                                          workers[pair.to_worker].hello.address());
    if (!measured.ok()) {
      const std::string failure =
          absl::StrCat(pair.from, " to ", pair.to, ": ", measured.status().message());
      LOG(WARNING) << "the link from " << failure << "; plans guess it";
      if (response != nullptr) response->add_failures(failure);
      continue;
    }
    v1::Link link;
    link.set_from(pair.from);
    link.set_to(pair.to);
    link.set_latency_seconds(measured->latency_seconds());
    link.set_bandwidth_bytes_per_second(measured->bandwidth_bytes_per_second());
    if (response != nullptr) *response->add_links() = link;
    MutexLock lock(mutex_);
    links_[names] = std::move(link);
  }
}

void LinkBook::MeasureLatency(const WorkerInfo& worker, bool again) {
  {
    MutexLock lock(mutex_);
    if (latencies_.contains(worker.hello.name()) && !again) return;
  }
  const absl::StatusOr<double> latency = prober_.Latency(worker.hello.address());
  MutexLock lock(mutex_);
  latencies_[worker.hello.name()] = latency.value_or(0);
}

std::vector<v1::Link> LinkBook::LinksAmong(const std::vector<PlannerDevice>& devices) const {
  std::set<std::string> names;
  for (const PlannerDevice& device : devices) names.insert({device.name, device.host});
  MutexLock lock(mutex_);
  std::vector<v1::Link> links;
  for (const auto& [pair, link] : links_) {
    if (names.contains(pair.first) && names.contains(pair.second)) links.push_back(link);
  }
  return links;
}

void LinkBook::FillStatus(v1::ClusterStatus* status) const {
  MutexLock lock(mutex_);
  for (const auto& [names, link] : links_) *status->add_links() = link;
  for (v1::WorkerStatus& worker : *status->mutable_workers()) {
    const auto found = latencies_.find(worker.name());
    if (found != latencies_.end()) worker.set_coordinator_latency_seconds(found->second);
  }
}

Planner PlannerWithLinks(LinkBook& book, const WorkerRegistry& registry,
                         std::function<bool()> idle) {
  return [&book, &registry, idle = std::move(idle)](
             const ModelConfig& model, const Fleet& fleet, const v1::PlanOptions& options,
             absl::string_view model_name) -> absl::StatusOr<v1::Plan> {
    std::vector<WorkerInfo> workers = registry.Snapshot();
    std::erase_if(workers, [](const WorkerInfo& worker) { return !worker.alive; });
    book.MeasureNew(workers, idle);
    Fleet linked = fleet;
    linked.links = book.LinksAmong(fleet.devices);
    return MakePlan(model, linked, options, model_name);
  };
}

}  // namespace layercake
