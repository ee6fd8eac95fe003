#pragma once

// The Stage service of stage.proto over a StageHost.

#include "layercake/v1/stage.grpc.pb.h"
#include "worker/service/stage_host.h"

namespace layercake {

// Load and Unload block a thread of gRPC's each; the two long streams are reactors, because either
// side may have to end them while a read is pending.
class StageService final : public v1::Stage::WithCallbackMethod_Execute<
                               v1::Stage::WithCallbackMethod_Activate<v1::Stage::Service>> {
 public:
  // `host` must outlive the server.
  explicit StageService(StageHost& host) : host_(host) {}

  grpc::Status Load(grpc::ServerContext* context, const v1::LoadStageRequest* request,
                    grpc::ServerWriter<v1::LoadStageProgress>* writer) override;
  grpc::Status Unload(grpc::ServerContext* context, const v1::UnloadStageRequest* request,
                      v1::UnloadStageResponse* response) override;
  grpc::ServerBidiReactor<v1::Step, v1::StepResult>* Execute(
      grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<v1::Activation>* Activate(grpc::CallbackServerContext* context,
                                                    v1::ActivateResponse* response) override;

 private:
  StageHost& host_;
};

}  // namespace layercake
