#pragma once

// The Admin RPC service: what operators see and do.

#include <grpcpp/server_context.h>

#include "common/base/clock.h"
#include "coordinator/cluster/link_book.h"
#include "coordinator/cluster/serving_controller.h"
#include "coordinator/cluster/worker_registry.h"
#include "coordinator/service/generation_loop.h"
#include "layercake/v1/admin.grpc.pb.h"

namespace layercake {

// Thread-safe. Each method is documented in admin.proto.
class AdminService final : public v1::Admin::Service {
 public:
  // All must outlive the service.
  AdminService(ServingController& controller, GenerationLoop& loop, const WorkerRegistry& registry,
               LinkBook& links, const Clock* clock)
      : controller_(controller),
        loop_(loop),
        registry_(registry),
        links_(links),
        clock_(clock),
        started_(clock->Now()) {}

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::ClusterStatus* response) override;
  grpc::Status PlanModel(grpc::ServerContext* context, const v1::PlanModelRequest* request,
                         v1::PlanModelResponse* response) override;
  grpc::Status LoadModel(grpc::ServerContext* context, const v1::LoadModelRequest* request,
                         grpc::ServerWriter<v1::LoadModelProgress>* writer) override;
  grpc::Status UnloadModel(grpc::ServerContext* context, const v1::UnloadModelRequest* request,
                           v1::UnloadModelResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;
  grpc::Status MeasureLinks(grpc::ServerContext* context, const v1::MeasureLinksRequest* request,
                            v1::MeasureLinksResponse* response) override;

 private:
  absl::Status CheckQuiet() const;

  ServingController& controller_;
  GenerationLoop& loop_;
  const WorkerRegistry& registry_;
  LinkBook& links_;
  const Clock* const clock_;
  const absl::Time started_;
};

}  // namespace layercake
