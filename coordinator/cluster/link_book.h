#pragma once

// What the links between workers were measured at.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "coordinator/cluster/serving_controller.h"
#include "coordinator/cluster/worker_registry.h"
#include "layercake/v1/admin.pb.h"
#include "layercake/v1/stage.pb.h"

namespace layercake {

// Asks workers to measure. Tests script it.
class LinkProber {
 public:
  virtual ~LinkProber() = default;
  // The link from one worker to another. Blocks, as Latency does.
  // Errors: those of Stage.MeasureLink.
  virtual absl::StatusOr<v1::MeasureLinkResponse> Measure(const std::string& from_address,
                                                          const std::string& to_address) = 0;
  // Seconds that a message takes from here to a worker. Errors: as Measure.
  virtual absl::StatusOr<double> Latency(const std::string& address) = 0;
};

// Over gRPC, with the key that workers were given in their welcome.
class GrpcLinkProber final : public LinkProber {
 public:
  explicit GrpcLinkProber(std::string probe_key) : probe_key_(std::move(probe_key)) {}
  absl::StatusOr<v1::MeasureLinkResponse> Measure(const std::string& from_address,
                                                  const std::string& to_address) override;
  absl::StatusOr<double> Latency(const std::string& address) override;

 private:
  const std::string probe_key_;
};

// Who is measured with whom: every ordered pair of workers while those are few; else a worker of
// each host for all of it, within hosts and between them.
struct LinkPair {
  std::string from;  // worker, or host
  std::string to;
  size_t from_worker = 0;  // who stands for them, by index
  size_t to_worker = 0;
};
std::vector<LinkPair> PairsToMeasure(const std::vector<WorkerInfo>& workers);

// Thread-safe. One measurement runs at a time.
class LinkBook {
 public:
  // `prober` must outlive the book.
  explicit LinkBook(LinkProber& prober) : prober_(prober) {}

  // Measures the pairs that were never tried, one after another and as long as `goes_on` says so;
  // what was measured before stays. Does nothing while another measurement runs.
  void MeasureNew(const std::vector<WorkerInfo>& workers, const std::function<bool()>& goes_on)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // All of them anew. Errors: Unavailable (no workers); Aborted (another measurement runs).
  absl::StatusOr<v1::MeasureLinksResponse> MeasureAll(const std::vector<WorkerInfo>& workers)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Those whose both ends are among `devices` or their hosts, by name.
  std::vector<v1::Link> LinksAmong(const std::vector<PlannerDevice>& devices) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Adds all links, and to each worker how long a message to it takes from here.
  void FillStatus(v1::ClusterStatus* status) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Names = std::pair<std::string, std::string>;

  bool Begin() ABSL_LOCKS_EXCLUDED(mutex_);  // false: another one runs
  void End() ABSL_LOCKS_EXCLUDED(mutex_);
  void Measure(const std::vector<WorkerInfo>& workers, bool all,
               const std::function<bool()>& goes_on, v1::MeasureLinksResponse* response)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void MeasureLatency(const WorkerInfo& worker, bool again) ABSL_LOCKS_EXCLUDED(mutex_);

  LinkProber& prober_;
  mutable Mutex mutex_;
  bool measuring_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<Names, v1::Link> links_ ABSL_GUARDED_BY(mutex_);
  std::set<Names> tried_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, double> latencies_ ABSL_GUARDED_BY(mutex_);  // by worker
};

// MakePlan with what `book` has of the fleet's links. Those of workers that were never tried are
// measured first, while `idle` says that nothing runs: a request that comes in between does not
// wait for the rest, nor does whoever it is that watches over it. All must outlive the planner.
Planner PlannerWithLinks(LinkBook& book, const WorkerRegistry& registry,
                         std::function<bool()> idle);

}  // namespace layercake
