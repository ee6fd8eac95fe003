#include "coordinator/cli/connection.h"

#include <chrono>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/options/options.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "coordinator/cli/output.h"
#include "coordinator/placement/refusal.h"
#include "google/rpc/error_details.pb.h"

namespace layercake {

Connection::Connection(const std::string& address) : address_(address) {
  const auto channel = CreateChannel(address);
  inference_ = v1::Inference::NewStub(channel);
  admin_ = v1::Admin::NewStub(channel);
}

absl::Status Connection::Explain(const grpc::Status& status) const {
  absl::Status explained = FromGrpcStatus(status);
  // Every error of the coordinator's own carries a reason; what has none came from the channel.
  if (!absl::IsUnavailable(explained) || !ErrorReason(explained).empty()) return explained;
  const std::string message(explained.message());
  if (message.find("connect") == std::string::npos && message.find("DNS") == std::string::npos &&
      message.find("resol") == std::string::npos) {
    return absl::UnavailableError(
        absl::StrCat("the coordinator at ", address_, " went away (", message, ")"));
  }
  return absl::UnavailableError(
      absl::StrCat("no coordinator at ", address_,
                   "; start one with `layercake serve MODEL_DIR`, or name another with --address"));
}

void SetTimeout(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout));
}

void PrintError(std::ostream& err, const absl::Status& status) {
  err << "layercake: " << std::string(status.message()) << "\n";
  status.ForEachPayload([&err](absl::string_view url, const absl::Cord& payload) {
    const absl::string_view type = absl::StripPrefix(url, "type.googleapis.com/");
    const std::string bytes(payload);
    if (google::rpc::BadRequest bad;
        type == bad.GetDescriptor()->full_name() && bad.ParseFromString(bytes)) {
      for (const auto& violation : bad.field_violations()) {
        err << "  " << violation.field() << ": " << violation.description() << "\n";
      }
    } else if (google::rpc::RetryInfo retry;
               type == retry.GetDescriptor()->full_name() && retry.ParseFromString(bytes)) {
      const absl::Duration delay = absl::Seconds(retry.retry_delay().seconds()) +
                                   absl::Nanoseconds(retry.retry_delay().nanos());
      err << "  trying again in " << absl::FormatDuration(delay) << " may help\n";
    } else if (google::rpc::ErrorInfo info;
               type == info.GetDescriptor()->full_name() && info.ParseFromString(bytes)) {
      err << "  reason: " << info.reason() << "\n";
    }
  });
  err.flush();
}

int Report(const absl::Status& status, bool json) {
  if (status.ok()) return kExitOk;
  if (const auto refusal = RefusalOf(status); json && refusal.has_value()) {
    std::cout << ToJson(*refusal) << std::flush;
  }
  PrintError(std::cerr, status);
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailure;
}

}  // namespace layercake
