#pragma once

// The coordinator as a client sees it, and its errors as people read them.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "layercake/v1/admin.grpc.pb.h"
#include "layercake/v1/inference.grpc.pb.h"

namespace layercake {

// Thread-safe.
class Connection {
 public:
  // Connects on first use.
  explicit Connection(const std::string& address);

  const std::string& address() const { return address_; }
  v1::Inference::StubInterface& inference() const { return *inference_; }
  v1::Admin::StubInterface& admin() const { return *admin_; }

  // `status` as of the coordinator; where none answered, words that say so and how to start one.
  absl::Status Explain(const grpc::Status& status) const;

 private:
  std::string address_;
  std::unique_ptr<v1::Inference::StubInterface> inference_;
  std::unique_ptr<v1::Admin::StubInterface> admin_;
};

// Calls that only look get this long.
inline constexpr absl::Duration kCallTimeout = absl::Seconds(60);
void SetTimeout(grpc::ClientContext& context, absl::Duration timeout);

// "layercake: <message>", then a line per google.rpc detail: fields at fault, when to retry, the
// reason for programs.
void PrintError(std::ostream& err, const absl::Status& status);

// Prints the error, if it is one, to stderr and returns the program's exit code.
//   json: a refusal to plan goes to stdout too, as JSON of its PlanRefusal.
int Report(const absl::Status& status, bool json = false);

}  // namespace layercake
