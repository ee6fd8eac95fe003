#pragma once

// The next stage's worker as a sender of activations sees it: it takes them when told to.

#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "layercake/v1/stage.grpc.pb.h"
#include "tests/testing/loopback_server.h"

namespace layercake {

// Thread-safe.
class NextStage : public v1::Stage::Service {
 public:
  ~NextStage() override {
    Take(0);
    server_.Shutdown();
  }

  const std::string& address() const { return server_.address(); }

  // From now on `count` steps are taken of a call (0: all), which then ends as `end` says.
  void Take(size_t count, const grpc::Status& end = grpc::Status::OK) {
    MutexLock lock(mutex_);
    taking_ = true;
    count_ = count;
    end_ = end;
    changed_.NotifyAll();
  }

  // What came, once a call has ended.
  std::vector<v1::Activation> WaitForEnd() {
    MutexLock lock(mutex_);
    while (!ended_) changed_.Wait(mutex_);
    return arrived_;
  }

  grpc::Status Activate(grpc::ServerContext*, grpc::ServerReader<v1::Activation>* reader,
                        v1::ActivateResponse*) override {
    size_t count = 0;
    grpc::Status end;
    {
      MutexLock lock(mutex_);
      while (!taking_) changed_.Wait(mutex_);
      count = count_;
      end = end_;
    }
    std::vector<v1::Activation> arrived;
    v1::Activation activation;
    while ((count == 0 || arrived.size() < count) && reader->Read(&activation)) {
      arrived.push_back(activation);
    }
    MutexLock lock(mutex_);
    arrived_ = std::move(arrived);
    ended_ = true;
    changed_.NotifyAll();
    return end;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool taking_ ABSL_GUARDED_BY(mutex_) = false;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::Status end_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<v1::Activation> arrived_ ABSL_GUARDED_BY(mutex_);
  LoopbackServer server_{{this}};
};

}  // namespace layercake
