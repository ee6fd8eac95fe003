#include "coordinator/service/chunk_reactors.h"

#include <utility>

#include "common/rpc/status.h"

namespace layercake {
namespace {

const absl::Status& CancelledByClient() {
  static const auto* const status = new absl::Status(absl::CancelledError("the client cancelled"));
  return *status;
}

}  // namespace

absl::Status RequestCall::Begin(GenerationLoop& loop, GenerationRequest request,
                                std::shared_ptr<const ServedModel> model) {
  MutexLock lock(begin_mutex_);
  const auto id = loop.Submit(std::move(request), std::move(model), this);
  if (!id.ok()) return id.status();
  loop_ = &loop;
  id_ = *id;
  return absl::OkStatus();
}

void RequestCall::CancelRequest() {
  GenerationLoop* loop = nullptr;
  uint64_t id = 0;
  {
    MutexLock lock(begin_mutex_);
    loop = loop_;
    id = id_;
  }
  if (loop != nullptr) loop->Cancel(id);
}

StreamCall* StreamCall::Start(GenerationLoop& loop, absl::StatusOr<GenerationRequest> request,
                              std::shared_ptr<const ServedModel> model) {
  auto* call = new StreamCall();
  absl::Status status = request.status();
  if (status.ok()) status = call->Begin(loop, *std::move(request), std::move(model));
  if (!status.ok()) call->Finish(ToGrpcStatus(status));
  return call;
}

void StreamCall::Write(v1::GenerateChunk chunk) {
  MutexLock lock(mutex_);
  if (ended_) return;
  if (outbox_.size() > 1 && outbox_.back().index() == chunk.index()) {
    v1::GenerateChunk& last = outbox_.back();
    const std::string text = last.text() + chunk.text();
    last.MergeFrom(chunk);
    last.set_text(text);
    return;
  }
  outbox_.push_back(std::move(chunk));
  if (outbox_.size() == 1) StartWrite(&outbox_.front());
}

void StreamCall::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = status;
    if (!outbox_.empty()) return;
  }
  Finish(ToGrpcStatus(status));
}

void StreamCall::OnWriteDone(bool ok) {
  absl::Status status;
  {
    MutexLock lock(mutex_);
    outbox_.pop_front();
    // A failed write means that the client is gone: OnCancel is on its way.
    if (!ok) outbox_.clear();
    if (!outbox_.empty()) {
      StartWrite(&outbox_.front());
      return;
    }
    if (!ended_) return;
    status = *ended_;
  }
  Finish(ToGrpcStatus(status));
}

void StreamCall::OnCancel() {
  CancelRequest();
  End(CancelledByClient());
}

UnaryCall* UnaryCall::Start(GenerationLoop& loop, absl::StatusOr<GenerationRequest> request,
                            std::shared_ptr<const ServedModel> model,
                            v1::GenerateResponse* response) {
  auto* call = new UnaryCall(response);
  absl::Status status = request.status();
  if (status.ok()) {
    response->set_model(model->name);
    for (int i = 0; i < request->n; ++i) response->add_completions()->set_index(i);
    status = call->Begin(loop, *std::move(request), std::move(model));
  }
  if (!status.ok()) call->Finish(ToGrpcStatus(status));
  return call;
}

void UnaryCall::Write(v1::GenerateChunk chunk) {
  v1::Completion& completion = *response_->mutable_completions(chunk.index());
  completion.mutable_text()->append(chunk.text());
  completion.mutable_token_ids()->MergeFrom(chunk.token_ids());
  completion.mutable_logprobs()->MergeFrom(chunk.logprobs());
  if (chunk.has_finish()) completion.mutable_finish()->Swap(chunk.mutable_finish());
}

void UnaryCall::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (std::exchange(ended_, true)) return;
  }
  Finish(ToGrpcStatus(status));
}

void UnaryCall::OnCancel() {
  CancelRequest();
  End(CancelledByClient());
}

}  // namespace layercake
