#include "coordinator/service/admin_service.h"

#include <utility>
#include <vector>

#include "common/rpc/duration.h"
#include "common/rpc/protocol.h"
#include "common/rpc/status.h"

namespace layercake {
namespace {

absl::Status RequireModelDir(const std::string& model_dir) {
  if (!model_dir.empty()) return absl::OkStatus();
  return WithField(
      absl::InvalidArgumentError("model_dir is empty; name a Hugging Face model directory"),
      "model_dir", "must not be empty");
}

}  // namespace

grpc::Status AdminService::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                     v1::ClusterStatus* response) {
  response->set_version(kVersion);
  controller_.FillStatus(response);
  loop_.FillStatus(response);
  links_.FillStatus(response);
  *response->mutable_uptime() = ToProto(clock_->Now() - started_);
  return grpc::Status::OK;
}

grpc::Status AdminService::PlanModel(grpc::ServerContext*, const v1::PlanModelRequest* request,
                                     v1::PlanModelResponse* response) {
  if (absl::Status status = RequireModelDir(request->model_dir()); !status.ok()) {
    return ToGrpcStatus(status);
  }
  const auto plan = controller_.Plan(request->model_dir(), request->options());
  if (!plan.ok()) return ToGrpcStatus(plan.status());
  *response->mutable_plan() = *plan;
  return grpc::Status::OK;
}

grpc::Status AdminService::LoadModel(grpc::ServerContext* context,
                                     const v1::LoadModelRequest* request,
                                     grpc::ServerWriter<v1::LoadModelProgress>* writer) {
  if (absl::Status status = RequireModelDir(request->model_dir()); !status.ok()) {
    return ToGrpcStatus(status);
  }
  return ToGrpcStatus(controller_.Load(
      *request, /*min_workers=*/1,
      [writer](const v1::LoadModelProgress& progress) { writer->Write(progress); },
      [context] { return context->IsCancelled(); }));
}

grpc::Status AdminService::UnloadModel(grpc::ServerContext*, const v1::UnloadModelRequest*,
                                       v1::UnloadModelResponse*) {
  return ToGrpcStatus(controller_.Unload());
}

grpc::Status AdminService::Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                                 v1::DrainResponse* response) {
  loop_.SetDraining(!request->resume());
  if (request->resume()) return grpc::Status::OK;
  const absl::Duration timeout =
      request->has_timeout() ? FromProto(request->timeout()) : absl::InfiniteDuration();
  response->set_remaining_sequences(
      loop_.WaitIdle(timeout, [context] { return context->IsCancelled(); }));
  return grpc::Status::OK;
}

grpc::Status AdminService::MeasureLinks(grpc::ServerContext*, const v1::MeasureLinksRequest*,
                                        v1::MeasureLinksResponse* response) {
  if (absl::Status status = CheckQuiet(); !status.ok()) return ToGrpcStatus(status);
  std::vector<WorkerInfo> workers = registry_.Snapshot();
  std::erase_if(workers, [](const WorkerInfo& worker) { return !worker.alive; });
  auto measured = links_.MeasureAll(workers);
  if (!measured.ok()) return ToGrpcStatus(measured.status());
  *response = *std::move(measured);
  return grpc::Status::OK;
}

// Errors: as MeasureLinks.
absl::Status AdminService::CheckQuiet() const {
  v1::ClusterStatus status;
  controller_.FillStatus(&status);
  if (status.state() == v1::SERVING_STATE_LOADING) {
    return absl::AbortedError("a load runs; measure links after it");
  }
  if (loop_.IsIdle()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "requests are running, and would wait for the measurement; drain first, or try again later");
}

}  // namespace layercake
