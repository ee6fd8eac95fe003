#pragma once

// The only translation between absl::Status and grpc::Status, and the google.rpc details on both.
//
// Details ride on an absl::Status as payloads, keyed by their type URL, so they survive any room in
// between; ToGrpcStatus packs them into the standard trailer and FromGrpcStatus unpacks them.

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace layercake {

// Adds an ErrorInfo (domain "layercake"): `reason` in capitals, stable, e.g. "QUEUE_FULL".
absl::Status WithReason(absl::Status status, absl::string_view reason);
// Adds a BadRequest field violation; may be called once per offending field.
absl::Status WithField(absl::Status status, absl::string_view field, absl::string_view description);
// Adds a RetryInfo: the same call may succeed after `delay`.
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);

// "" when the status carries no ErrorInfo.
std::string ErrorReason(const absl::Status& status);

// Statuses that carry no reason get one named after their code.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace layercake
