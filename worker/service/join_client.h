#pragma once

// Keeps this worker in its coordinator's cluster.

#include <grpcpp/client_context.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "layercake/v1/cluster.grpc.pb.h"

namespace layercake {

struct JoinOptions {
  std::string coordinator;  // host:port
  // Between attempts; doubles from the first to the longest, starts over after a welcome.
  absl::Duration first_backoff = absl::Milliseconds(100);
  absl::Duration longest_backoff = absl::Seconds(2);
  // How long a name that is taken is tried again: the coordinator may still believe in the
  // connection that this worker has just lost.
  absl::Duration name_taken_patience = absl::Seconds(10);
};

// What a worker says of itself, and is told. Called on Run's thread. It joins while no step is
// running: one that hangs must not be placed on again.
struct JoinReports {
  std::function<v1::Hello()> hello;
  std::function<v1::Heartbeat()> heartbeat;
  std::function<void(const v1::Welcome&)> welcomed = nullptr;  // may be left out
};

class JoinClient {
 public:
  JoinClient(JoinOptions options, JoinReports reports);

  // Joins, sends heartbeats at the interval asked, and joins again whenever the stream is lost,
  // until Stop (OK), a refusal that trying again would not change, or a heartbeat that reported a
  // failure: a program whose device is lost serves only by being started anew. Call once.
  // Errors: FailedPrecondition (another protocol version), AlreadyExists (the name stays taken),
  // InvalidArgument, Unimplemented (that is no coordinator): what the coordinator said; Internal
  // (the failure).
  absl::Status Run() ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends Run soon. Thread-safe.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Stream = grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>;

  // One stay in the cluster, from Hello to the loss of the stream; `*welcomed` says whether it
  // began, `*failure` (set only if not OK) that it was the last.
  absl::Status JoinOnce(v1::Cluster::Stub& stub, bool* welcomed, absl::Status* failure);
  // OK when stopped or cut off; Internal once a failure was reported.
  absl::Status Beat(Stream& stream, absl::Duration interval);
  // Returns false when stopped.
  bool Wait(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);
  bool stopped() ABSL_LOCKS_EXCLUDED(mutex_);

  const JoinOptions options_;
  const JoinReports reports_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;  // until welcomed
};

}  // namespace layercake
