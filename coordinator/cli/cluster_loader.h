#pragma once

// Loads the model once a new cluster's workers have joined, beside the thread that supervises them.

#include <atomic>
#include <memory>
#include <ostream>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "coordinator/cli/connection.h"
#include "layercake/v1/admin.pb.h"

namespace layercake {

class ClusterLoader {
 public:
  // Starts at once. Progress is drawn on `terminal`; nullptr: nowhere.
  ClusterLoader(const std::string& address, int num_workers, const v1::LoadModelRequest& request,
                std::ostream* terminal);
  // Gives up what is under way and waits for the thread.
  ~ClusterLoader();
  ClusterLoader(const ClusterLoader&) = delete;
  ClusterLoader& operator=(const ClusterLoader&) = delete;

  bool ended() const { return ended_; }
  // The plan in force. REQUIRES: ended().
  const absl::StatusOr<v1::Plan>& result() const { return result_; }

 private:
  absl::StatusOr<v1::Plan> Load();
  absl::Status WaitForWorkers();
  // Makes `context` the one that the destructor cancels. Returns false when it is too late.
  bool Enter(grpc::ClientContext& context);
  void Leave();

  const Connection connection_;
  const int num_workers_;
  const v1::LoadModelRequest request_;
  std::ostream* const terminal_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;

  // Written by the thread before ended_.
  absl::StatusOr<v1::Plan> result_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace layercake
