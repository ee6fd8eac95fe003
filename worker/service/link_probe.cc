#include "worker/service/link_probe.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"

namespace layercake {
namespace {

constexpr size_t kSmallBytes = 4 << 10;
constexpr size_t kMessageBytes = 1 << 20;
constexpr int kMessages = 16;
constexpr int kRoundTrips = 20;
constexpr double kLongestRoundSeconds = 2;
constexpr std::chrono::seconds kDeadline(20);

// One open Probe call.
class Probing {
 public:
  Probing(const std::shared_ptr<grpc::Channel>& channel, const std::string& key)
      : stub_(v1::Stage::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + kDeadline);
    stream_ = stub_->Probe(&context_);
    message_.set_probe_key(key);
  }

  // Seconds until the peer has said that `messages` of `bytes` each are there.
  absl::StatusOr<double> Round(size_t bytes, int messages) {
    message_.mutable_data()->resize(bytes);
    const absl::Time begin = Clock::Real()->Now();
    v1::ProbeResponse response;
    for (int i = 0; i < messages; ++i) {
      message_.set_answer(i + 1 == messages);
      if (!stream_->Write(message_)) return Broken();
      message_.clear_probe_key();
    }
    if (!stream_->Read(&response)) return Broken();
    return absl::ToDoubleSeconds(Clock::Real()->Now() - begin);
  }
  absl::Status Finish() {
    stream_->WritesDone();
    return FromGrpcStatus(stream_->Finish());
  }

 private:
  absl::Status Broken() {
    const absl::Status status = FromGrpcStatus(stream_->Finish());
    return status.ok() ? absl::UnavailableError("the peer ended the measurement") : status;
  }

  std::unique_ptr<v1::Stage::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ProbeRequest, v1::ProbeResponse>> stream_;
  v1::ProbeRequest message_;
};

}  // namespace

void ProbePermit::SetKey(const std::string& key) {
  MutexLock lock(mutex_);
  key_ = key;
}

absl::Status ProbePermit::Check(absl::string_view key) const {
  MutexLock lock(mutex_);
  if (!key_.empty() && key == key_) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "this worker measures links only within its own cluster, when its coordinator asks");
}

absl::Status AnswerProbe(const ProbePermit& permit, ProbeStream& stream) {
  v1::ProbeRequest request;
  if (!stream.Read(&request)) return absl::OkStatus();
  LC_RETURN_IF_ERROR(permit.Check(request.probe_key()));
  v1::ProbeResponse response;
  do {
    response.set_received_bytes(response.received_bytes() + request.data().size());
    if (response.received_bytes() > static_cast<uint64_t>(kMostProbeBytes)) {
      return absl::ResourceExhaustedError(absl::StrCat("a link is measured with no more than ",
                                                       FormatBytes(kMostProbeBytes), " a call"));
    }
    if (request.answer() && !stream.Write(response)) return absl::OkStatus();
  } while (stream.Read(&request));
  return absl::OkStatus();
}

absl::StatusOr<v1::MeasureLinkResponse> ProbeLink(const std::string& address,
                                                  const std::string& key) {
  // A plan may wait for this, and for other peers after this one.
  LC_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, ConnectChannel(address));
  Probing probing(channel, key);
  LC_RETURN_IF_ERROR(probing.Round(kSmallBytes, 1).status());
  std::vector<double> trips;
  for (int i = 0; i < kRoundTrips; ++i) {
    LC_ASSIGN_OR_RETURN(trips.emplace_back(), probing.Round(kSmallBytes, 1));
  }
  std::ranges::sort(trips);
  const double latency = trips[trips.size() / 2] / 2;
  LC_ASSIGN_OR_RETURN(double seconds, probing.Round(kMessageBytes, 1));
  int messages = 1;
  if (seconds * kMessages < kLongestRoundSeconds) {
    messages = kMessages;
    LC_ASSIGN_OR_RETURN(const double first, probing.Round(kMessageBytes, kMessages));
    LC_ASSIGN_OR_RETURN(const double second, probing.Round(kMessageBytes, kMessages));
    seconds = std::min(first, second);
  }
  LC_RETURN_IF_ERROR(probing.Finish());
  v1::MeasureLinkResponse response;
  response.set_latency_seconds(latency);
  response.set_bandwidth_bytes_per_second(static_cast<double>(messages) * kMessageBytes /
                                          std::max(seconds - 2 * latency, 1e-6));
  return response;
}

}  // namespace layercake
