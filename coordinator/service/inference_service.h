#pragma once

// The Inference RPC service: checks, tokenizes, and hands requests to the generation loop.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/service/generation_loop.h"
#include "layercake/v1/inference.grpc.pb.h"

namespace layercake {

// Thread-safe. Each method is documented in inference.proto.
class InferenceService final : public v1::Inference::CallbackService {
 public:
  // `loop` must outlive the service.
  explicit InferenceService(GenerationLoop& loop) : loop_(loop) {}

  grpc::ServerWriteReactor<v1::GenerateChunk>* Generate(grpc::CallbackServerContext* context,
                                                        const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* GenerateUnary(grpc::CallbackServerContext* context,
                                          const v1::GenerateRequest* request,
                                          v1::GenerateResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerateChunk>* Chat(grpc::CallbackServerContext* context,
                                                    const v1::ChatRequest* request) override;
  grpc::ServerUnaryReactor* ChatUnary(grpc::CallbackServerContext* context,
                                      const v1::ChatRequest* request,
                                      v1::GenerateResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;

 private:
  // The live model, if it is the one called `name` (or `name` is empty).
  absl::StatusOr<LiveModel> Find(const std::string& name) const;
  // What Find says, and the request resolved against it. The model is null with an error.
  struct Prepared {
    std::shared_ptr<const ServedModel> model;
    absl::StatusOr<GenerationRequest> request = absl::UnknownError("not prepared");
  };
  template <typename Request>  // GenerateRequest or ChatRequest
  Prepared Prepare(const Request& request) const;

  GenerationLoop& loop_;
};

}  // namespace layercake
