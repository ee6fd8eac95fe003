#include "worker/service/stage_service.h"

#include "common/base/clock.h"
#include "common/rpc/status.h"
#include "worker/service/activate_reactor.h"
#include "worker/service/execute_reactor.h"

namespace layercake {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

}  // namespace

grpc::Status StageService::Load(grpc::ServerContext* context, const v1::LoadStageRequest* request,
                                grpc::ServerWriter<v1::LoadStageProgress>* writer) {
  absl::Time last_report = absl::InfinitePast();
  v1::LoadStageProgress message;
  const auto report = [&](int64_t loaded_bytes, int64_t total_bytes) {
    if (context->IsCancelled()) return false;
    message.set_loaded_bytes(loaded_bytes);
    message.set_total_bytes(total_bytes);
    const absl::Time now = Clock::Real()->Now();
    if (now - last_report < kProgressInterval) return true;
    last_report = now;
    return writer->Write(message);
  };
  const auto bytes = host_.Load(*request, report);
  if (!bytes.ok()) return ToGrpcStatus(bytes.status());
  message.set_done(true);
  message.set_total_bytes(bytes->weights);
  message.set_loaded_bytes(bytes->weights);
  message.set_weight_bytes(bytes->weights);
  message.set_kv_bytes(bytes->kv);
  message.set_workspace_bytes(bytes->workspace);
  writer->Write(message);
  return grpc::Status::OK;
}

grpc::Status StageService::Unload(grpc::ServerContext*, const v1::UnloadStageRequest*,
                                  v1::UnloadStageResponse*) {
  host_.Unload();
  return grpc::Status::OK;
}

grpc::ServerBidiReactor<v1::Step, v1::StepResult>* StageService::Execute(
    grpc::CallbackServerContext* context) {
  return new ExecuteReactor(host_, *context);
}

grpc::ServerReadReactor<v1::Activation>* StageService::Activate(
    grpc::CallbackServerContext* context, v1::ActivateResponse*) {
  return new ActivateReactor(host_, context->peer());
}

}  // namespace layercake
