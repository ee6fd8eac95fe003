#pragma once

// The Cluster RPC service: one stream per worker, and the watch over those that fall silent.

#include <grpcpp/server_context.h>

#include <map>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "coordinator/cluster/worker_registry.h"
#include "layercake/v1/cluster.grpc.pb.h"

namespace layercake {

// A stream's life: 1. hello is checked and entered in the registry; 2. welcome goes down; 3. each
// heartbeat is passed on; 4. a broken stream, or the watch, loses the worker and ends the call.
class JoinService final : public v1::Cluster::Service {
 public:
  // `registry` must outlive the service.
  explicit JoinService(WorkerRegistry& registry);
  ~JoinService() override;

  // Ends every stream and the watch; call before the server's Shutdown. Idempotent.
  void Stop();

  grpc::Status Join(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>* stream)
      override;

 private:
  void Watch();

  WorkerRegistry& registry_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint64_t, grpc::ServerContext*> streams_ ABSL_GUARDED_BY(mutex_);
  std::thread watch_;
};

}  // namespace layercake
