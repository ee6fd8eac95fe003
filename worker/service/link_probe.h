#pragma once

// Measuring the link from this worker to another, over the transport that activations take.

#include <grpcpp/support/sync_stream.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/mutex.h"
#include "layercake/v1/stage.grpc.pb.h"

namespace layercake {

// Who may have links measured from and to here: whoever knows the key that this worker's
// coordinator gave all its workers. Thread-safe.
class ProbePermit {
 public:
  // Empty: nobody. A new coordinator has a new key.
  void SetKey(const std::string& key) ABSL_LOCKS_EXCLUDED(mutex_);
  // Errors: PermissionDenied.
  absl::Status Check(absl::string_view key) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable Mutex mutex_;
  std::string key_ ABSL_GUARDED_BY(mutex_);
};

// What one Probe call may send in all.
inline constexpr int64_t kMostProbeBytes = int64_t{64} << 20;

using ProbeStream = grpc::ServerReaderWriterInterface<v1::ProbeResponse, v1::ProbeRequest>;

// The answering side of one Probe call. Returns when the caller is done.
// Errors: PermissionDenied; ResourceExhausted (more than kMostProbeBytes).
absl::Status AnswerProbe(const ProbePermit& permit, ProbeStream& stream);

// The asking side: latency is half the median of 20 round trips of 4 KiB, bandwidth that of 16 MiB
// in messages of 1 MiB; where the link is so slow that this would take over 2 s, of the first MiB.
// Errors: Unavailable (not reached, or it broke); what the peer said.
absl::StatusOr<v1::MeasureLinkResponse> ProbeLink(const std::string& address,
                                                  const std::string& key);

}  // namespace layercake
