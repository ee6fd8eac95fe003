#pragma once

// The two ways chunks reach a client: as a stream, and gathered into one answer.

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "coordinator/service/generation_loop.h"
#include "layercake/v1/inference.pb.h"

namespace layercake {

// What both share: the request's place in the loop, and its cancellation.
//
// A call's life: 1. Begin submits; 2. chunks come under the loop's lock; 3. End, or a cancel, decides the
// status; 4. Finish is the last touch before gRPC's OnDone deletes the reactor.
class RequestCall : public ChunkSink {
 protected:
  // Errors: what GenerationLoop::Submit returns; then there will be no End.
  absl::Status Begin(GenerationLoop& loop, GenerationRequest request,
                     std::shared_ptr<const ServedModel> model);
  // No chunk comes after this returns.
  void CancelRequest();

 private:
  Mutex begin_mutex_;
  GenerationLoop* loop_ ABSL_GUARDED_BY(begin_mutex_) = nullptr;
  uint64_t id_ ABSL_GUARDED_BY(begin_mutex_) = 0;
};

// Writes chunks as they come; a slow client's chunks are joined rather than piled up.
class StreamCall final : public grpc::ServerWriteReactor<v1::GenerateChunk>, public RequestCall {
 public:
  // Owns itself. A request that cannot be submitted ends the call with that error.
  static StreamCall* Start(GenerationLoop& loop, absl::StatusOr<GenerationRequest> request,
                           std::shared_ptr<const ServedModel> model);

  void Write(v1::GenerateChunk chunk) override;
  void End(const absl::Status& status) override;

 private:
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { delete this; }

  Mutex mutex_;
  std::deque<v1::GenerateChunk> outbox_ ABSL_GUARDED_BY(mutex_);  // the front one is being written
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

// Gathers all chunks into one response.
class UnaryCall final : public grpc::ServerUnaryReactor, public RequestCall {
 public:
  // Owns itself; `response` is gRPC's and lives until OnDone.
  static UnaryCall* Start(GenerationLoop& loop, absl::StatusOr<GenerationRequest> request,
                          std::shared_ptr<const ServedModel> model,
                          v1::GenerateResponse* response);

  void Write(v1::GenerateChunk chunk) override;
  void End(const absl::Status& status) override;

 private:
  explicit UnaryCall(v1::GenerateResponse* response) : response_(response) {}
  void OnCancel() override;
  void OnDone() override { delete this; }

  v1::GenerateResponse* const response_;
  Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace layercake
