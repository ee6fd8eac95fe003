#pragma once

// Who is in the cluster: every worker that joined, what it said of itself, and whether it lives.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "layercake/v1/cluster.pb.h"

namespace layercake {

struct WorkerInfo {
  v1::Hello hello;
  v1::Heartbeat heartbeat;  // the last one; empty before the first
  uint64_t session = 0;     // of this join; grows with each
  absl::Time last_seen;
  bool alive = true;
  std::string lost_reason;  // when not alive
};

// Thread-safe. A worker is known by its name; a lost one is remembered, with the reason, until one
// of that name joins again.
class WorkerRegistry {
 public:
  struct Options {
    // Told to every worker that joins, see Welcome; empty: none.
    std::string probe_key = "";
    absl::Duration heartbeat_interval = absl::Milliseconds(200);
    // No message for this long: the worker hangs, or the network does.
    absl::Duration heartbeat_timeout = absl::Seconds(2);
    // One step computing for this long: its device hangs, though its process lives.
    absl::Duration step_timeout = absl::Seconds(60);
  };

  // `clock` must outlive the registry.
  WorkerRegistry(const Clock* clock, Options options) : clock_(clock), options_(options) {}

  // Called after every join and loss, without locks held, from the thread that caused it.
  // REQUIRES: set before the first Join.
  void OnChange(std::function<void()> listener) { listener_ = std::move(listener); }

  // Returns the session that the other calls name.
  // Errors: FailedPrecondition (protocol version), AlreadyExists (a live worker has that name),
  // InvalidArgument (no name, address or device).
  absl::StatusOr<uint64_t> Join(const v1::Hello& hello);
  // A heartbeat that reports a failure loses the worker. False: the session is not alive.
  bool Beat(uint64_t session, const v1::Heartbeat& heartbeat);
  void Lose(uint64_t session, absl::string_view reason);
  // Loses workers whose heartbeats stopped or whose step hangs; returns their sessions.
  std::vector<uint64_t> LoseSilent();

  std::vector<WorkerInfo> Snapshot() const;  // by name
  int num_alive() const;
  const Options& options() const { return options_; }
  absl::Time Now() const { return clock_->Now(); }

 private:
  WorkerInfo* Find(uint64_t session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NotifyChange() const {
    if (listener_) listener_();
  }

  const Clock* const clock_;
  const Options options_;
  std::function<void()> listener_;
  mutable Mutex mutex_;
  uint64_t next_session_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::string, WorkerInfo> workers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace layercake
