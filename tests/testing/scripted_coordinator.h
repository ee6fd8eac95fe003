#pragma once

// A coordinator that does with workers what a test's script says.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/rpc/status.h"
#include "layercake/v1/cluster.grpc.pb.h"
#include "tests/testing/loopback_server.h"

namespace layercake {

// Answers one Join after another as scripted; an unexpected one is kept waiting.
class ScriptedCoordinator final : public v1::Cluster::Service {
 public:
  struct Act {
    absl::Status refusal;  // not OK: instead of a welcome
    int heartbeats = 0;    // to take before ending the call
  };

  explicit ScriptedCoordinator(std::vector<Act> acts) : acts_(std::move(acts)) {
    Start("127.0.0.1:0");
  }
  ~ScriptedCoordinator() override { Stop(); }

  void Start(const std::string& address) {
    server_.emplace(std::vector<grpc::Service*>{this}, address);
    address_ = server_->address();
  }
  void Stop() {
    if (server_.has_value()) server_->Die();
    server_.reset();
  }

  grpc::Status Join(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>* stream) override {
    v1::WorkerMessage message;
    if (!stream->Read(&message)) return grpc::Status::CANCELLED;
    Act act{.heartbeats = 1 << 30};
    {
      MutexLock lock(mutex_);
      hellos_.push_back(message.hello());
      changed_.NotifyAll();
      if (hellos_.size() <= acts_.size()) act = acts_[hellos_.size() - 1];
    }
    if (!act.refusal.ok()) return ToGrpcStatus(act.refusal);
    v1::CoordinatorMessage welcome;
    welcome.mutable_welcome()->mutable_heartbeat_interval()->set_nanos(5'000'000);
    stream->Write(welcome);
    for (int i = 0; i < act.heartbeats && stream->Read(&message); ++i) {
      MutexLock lock(mutex_);
      heartbeats_.push_back(message.heartbeat());
      changed_.NotifyAll();
    }
    return grpc::Status::OK;
  }

  void WaitForHellos(size_t count) {
    MutexLock lock(mutex_);
    while (hellos_.size() < count) changed_.Wait(mutex_);
  }
  void WaitForHeartbeats(size_t count) {
    MutexLock lock(mutex_);
    while (heartbeats_.size() < count) changed_.Wait(mutex_);
  }

  std::vector<v1::Hello> hellos() {
    MutexLock lock(mutex_);
    return hellos_;
  }
  std::vector<v1::Heartbeat> heartbeats() {
    MutexLock lock(mutex_);
    return heartbeats_;
  }
  const std::string& address() const { return address_; }

 private:
  const std::vector<Act> acts_;
  std::optional<LoopbackServer> server_;
  std::string address_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<v1::Hello> hellos_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Heartbeat> heartbeats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace layercake
