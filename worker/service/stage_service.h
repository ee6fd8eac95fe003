#pragma once

// The Stage service of stage.proto over a StageHost.

#include "layercake/v1/stage.grpc.pb.h"
#include "worker/service/link_probe.h"
#include "worker/service/open_link.h"
#include "worker/service/stage_host.h"

namespace layercake {

// Load, Unload and the opening and measuring of links block a thread of gRPC's each; the two long
// streams are reactors, because either side may have to end them while a read is pending.
class StageService final : public v1::Stage::WithCallbackMethod_Execute<
                               v1::Stage::WithCallbackMethod_Activate<v1::Stage::Service>> {
 public:
  // Both must outlive the server.
  StageService(StageHost& host, const ProbePermit& permit) : host_(host), permit_(permit) {}

  grpc::Status Load(grpc::ServerContext* context, const v1::LoadStageRequest* request,
                    grpc::ServerWriter<v1::LoadStageProgress>* writer) override;
  grpc::Status Unload(grpc::ServerContext* context, const v1::UnloadStageRequest* request,
                      v1::UnloadStageResponse* response) override;
  grpc::Status OpenLink(grpc::ServerContext* context, OpenLinkStream* stream) override;
  grpc::ServerBidiReactor<v1::Step, v1::StepResult>* Execute(
      grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<v1::Activation>* Activate(grpc::CallbackServerContext* context,
                                                    v1::ActivateResponse* response) override;
  grpc::Status MeasureLink(grpc::ServerContext* context, const v1::MeasureLinkRequest* request,
                           v1::MeasureLinkResponse* response) override;
  grpc::Status Probe(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ProbeResponse, v1::ProbeRequest>* stream) override;

 private:
  StageHost& host_;
  const ProbePermit& permit_;
};

}  // namespace layercake
