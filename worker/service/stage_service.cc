#include "worker/service/stage_service.h"

#include <utility>

#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/status.h"
#include "worker/service/activate_reactor.h"
#include "worker/service/execute_reactor.h"

namespace layercake {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

// Whether the links of this worker may be measured now.
absl::Status CheckIdle(const StageHost& host) {
  if (!host.Stats().step_running) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a step is being computed; links are measured while nothing runs");
}

absl::StatusOr<v1::MeasureLinkResponse> Measure(const StageHost& host, const ProbePermit& permit,
                                                const v1::MeasureLinkRequest& request) {
  LC_RETURN_IF_ERROR(permit.Check(request.probe_key()));
  LC_RETURN_IF_ERROR(CheckIdle(host));
  if (request.address().empty()) return v1::MeasureLinkResponse();
  return ProbeLink(request.address(), request.probe_key());
}

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
  const auto loaded = host_.Load(*request, report);
  if (!loaded.ok()) return ToGrpcStatus(loaded.status());
  message.set_done(true);
  message.set_total_bytes(loaded->bytes.weights);
  message.set_loaded_bytes(loaded->bytes.weights);
  message.set_weight_bytes(loaded->bytes.weights);
  message.set_kv_bytes(loaded->bytes.kv);
  message.set_workspace_bytes(loaded->bytes.workspace);
  message.set_link(loaded->link);
  message.set_link_reason(loaded->link_reason);
  writer->Write(message);
  return grpc::Status::OK;
}

grpc::Status StageService::Unload(grpc::ServerContext*, const v1::UnloadStageRequest*,
                                  v1::UnloadStageResponse*) {
  host_.Unload();
  return grpc::Status::OK;
}

grpc::Status StageService::OpenLink(grpc::ServerContext*, OpenLinkStream* stream) {
  return ServeOpenLink(host_.links(), *stream);
}

grpc::ServerBidiReactor<v1::Step, v1::StepResult>* StageService::Execute(
    grpc::CallbackServerContext* context) {
  return new ExecuteReactor(host_, *context);
}

grpc::ServerReadReactor<v1::Activation>* StageService::Activate(
    grpc::CallbackServerContext* context, v1::ActivateResponse*) {
  return new ActivateReactor(host_, context->peer());
}

grpc::Status StageService::MeasureLink(grpc::ServerContext*, const v1::MeasureLinkRequest* request,
                                       v1::MeasureLinkResponse* response) {
  auto measured = Measure(host_, permit_, *request);
  if (!measured.ok()) return ToGrpcStatus(measured.status());
  *response = *std::move(measured);
  return grpc::Status::OK;
}

grpc::Status StageService::Probe(
    grpc::ServerContext*, grpc::ServerReaderWriter<v1::ProbeResponse, v1::ProbeRequest>* stream) {
  return ToGrpcStatus(AnswerProbe(permit_, *stream));
}

}  // namespace layercake
