#include "worker/service/join_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/logging.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"

namespace layercake {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(5);
constexpr absl::Duration kLongestInterval = absl::Minutes(1);

absl::Duration FromMessage(const google::protobuf::Duration& message) {
  return absl::Seconds(message.seconds()) + absl::Nanoseconds(message.nanos());
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsUnimplemented(status);
}

}  // namespace

JoinClient::JoinClient(JoinOptions options, JoinReports reports)
    : options_(std::move(options)), reports_(std::move(reports)) {}

absl::Status JoinClient::Run() {
  const auto stub = v1::Cluster::NewStub(CreateChannel(options_.coordinator));
  absl::Duration backoff = options_.first_backoff;
  absl::Time name_taken_since = absl::InfiniteFuture();
  std::string last_words;
  do {
    bool welcomed = false;
    absl::Status failure;
    const absl::Status status = JoinOnce(*stub, &welcomed, &failure);
    if (!failure.ok()) return failure;
    const absl::Time now = Clock::Real()->Now();
    if (welcomed) {
      backoff = options_.first_backoff;
      last_words.clear();
    }
    name_taken_since =
        absl::IsAlreadyExists(status) ? std::min(name_taken_since, now) : absl::InfiniteFuture();
    if (IsRefusal(status) || now - name_taken_since > options_.name_taken_patience) {
      return absl::Status(status.code(), absl::StrCat("the coordinator at ", options_.coordinator,
                                                      " refused this worker: ", status.message()));
    }
    const std::string words(status.message());
    if (words != last_words && !stopped()) {
      LOG(WARNING) << (welcomed ? "lost the coordinator at " : "cannot join the coordinator at ")
                   << options_.coordinator << ", trying again: " << words;
    }
    last_words = words;
    const absl::Duration pause = backoff;
    backoff = std::min(backoff * 2, options_.longest_backoff);
    if (!Wait(pause)) return absl::OkStatus();
  } while (true);
}

absl::Status JoinClient::JoinOnce(v1::Cluster::Stub& stub, bool* welcomed, absl::Status* failure) {
  // The coordinator would soon hold it for hung, and have placed everything anew by then.
  if (reports_.heartbeat().has_step_running()) {
    return absl::UnavailableError("a step of the last epoch is still being computed here");
  }
  grpc::ClientContext context;
  {
    MutexLock lock(mutex_);
    if (stopped_) return absl::CancelledError("stopped");
    context_ = &context;
  }
  const auto stream = stub.Join(&context);
  v1::WorkerMessage message;
  *message.mutable_hello() = reports_.hello();
  v1::CoordinatorMessage answer;
  if (stream->Write(message) && stream->Read(&answer)) {
    *welcomed = answer.has_welcome();
    if (*welcomed) {
      if (reports_.welcomed) reports_.welcomed(answer.welcome());
      LOG(INFO) << "joined the coordinator at " << options_.coordinator << " as "
                << message.hello().name();
      {
        // From here on Stop is answered by a last heartbeat; a coordinator that hangs does not hold
        // it up for longer than keepalive takes.
        MutexLock lock(mutex_);
        context_ = nullptr;
      }
      *failure = Beat(*stream, FromMessage(answer.welcome().heartbeat_interval()));
    }
    // A failure must be read before the stream ends.
    failure->ok() ? context.TryCancel() : static_cast<void>(stream->WritesDone());
  }
  const absl::Status status = FromGrpcStatus(stream->Finish());
  MutexLock lock(mutex_);
  context_ = nullptr;
  return status.ok() ? absl::UnavailableError("the coordinator ended the stream") : status;
}

absl::Status JoinClient::Beat(Stream& stream, absl::Duration interval) {
  interval = std::clamp(interval, kShortestInterval, kLongestInterval);
  v1::WorkerMessage message;
  bool goes_on = true;
  do {
    *message.mutable_heartbeat() = reports_.heartbeat();
    message.mutable_heartbeat()->set_leaving(!goes_on);
    if (!stream.Write(message) || !goes_on) return absl::OkStatus();
    if (!message.heartbeat().failure().empty()) {
      return absl::InternalError(message.heartbeat().failure());
    }
    goes_on = Wait(interval);
  } while (true);
}

bool JoinClient::stopped() {
  MutexLock lock(mutex_);
  return stopped_;
}

bool JoinClient::Wait(absl::Duration duration) {
  const absl::Time until = Clock::Real()->Now() + duration;
  MutexLock lock(mutex_);
  while (!stopped_) {
    const absl::Duration left = until - Clock::Real()->Now();
    if (left <= absl::ZeroDuration()) return true;
    changed_.WaitFor(mutex_, left);
  }
  return false;
}

void JoinClient::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  if (context_ != nullptr) context_->TryCancel();
  changed_.NotifyAll();
}

}  // namespace layercake
