#include "coordinator/cluster/join_service.h"

#include "common/rpc/duration.h"
#include "common/rpc/protocol.h"
#include "common/rpc/status.h"

namespace layercake {
JoinService::JoinService(WorkerRegistry& registry) : registry_(registry) {
  watch_ = std::thread([this] { Watch(); });
}

JoinService::~JoinService() { Stop(); }

void JoinService::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& [session, context] : streams_) context->TryCancel();
    changed_.NotifyAll();
  }
  if (watch_.joinable()) watch_.join();
}

void JoinService::Watch() {
  while (true) {
    {
      MutexLock lock(mutex_);
      if (!stopping_) changed_.WaitFor(mutex_, registry_.options().heartbeat_interval / 2);
      if (stopping_) return;
    }
    const auto silent = registry_.LoseSilent();
    MutexLock lock(mutex_);
    for (const uint64_t session : silent) {
      const auto it = streams_.find(session);
      if (it != streams_.end()) it->second->TryCancel();
    }
  }
}

grpc::Status JoinService::Join(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>* stream) {
  v1::WorkerMessage message;
  if (!stream->Read(&message) || !message.has_hello()) {
    return ToGrpcStatus(absl::InvalidArgumentError("the first message of Join must be hello"));
  }
  const auto session = registry_.Join(message.hello());
  if (!session.ok()) return ToGrpcStatus(session.status());
  {
    MutexLock lock(mutex_);
    if (stopping_) context->TryCancel();
    streams_[*session] = context;
  }
  v1::CoordinatorMessage down;
  down.mutable_welcome()->set_coordinator_version(kVersion);
  *down.mutable_welcome()->mutable_heartbeat_interval() = ToProto(registry_.options().heartbeat_interval);
  *down.mutable_welcome()->mutable_heartbeat_timeout() = ToProto(registry_.options().heartbeat_timeout);
  down.mutable_welcome()->set_probe_key(registry_.options().probe_key);
  if (stream->Write(down)) {
    while (stream->Read(&message) && registry_.Beat(*session, message.heartbeat())) {
    }
  }
  {
    MutexLock lock(mutex_);
    streams_.erase(*session);
    if (stopping_) return ToGrpcStatus(absl::UnavailableError("the coordinator is stopping"));
  }
  registry_.Lose(*session, "its connection broke");
  return ToGrpcStatus(absl::UnavailableError("the worker was taken out of the cluster"));
}

}  // namespace layercake
