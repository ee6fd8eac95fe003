#include "coordinator/service/inference_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/status.h"
#include "coordinator/service/chat_prompt.h"
#include "coordinator/service/chunk_reactors.h"

namespace layercake {
namespace {

// Answers a call that needs no generation.
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

absl::StatusOr<const Tokenizer*> NeedTokenizer(const ServedModel& model) {
  if (model.tokenizer != nullptr) return model.tokenizer.get();
  return absl::FailedPreconditionError(absl::StrCat(
      model.name, " has no tokenizer.json, so it cannot read or write text; use token_ids"));
}

absl::StatusOr<GenerationRequest> Resolve(const v1::GenerateRequest& request,
                                          const LiveModel& live) {
  std::vector<int32_t> ids;
  std::string text;
  if (request.has_text()) {
    LC_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, NeedTokenizer(*live.model));
    LC_ASSIGN_OR_RETURN(ids, tokenizer->Encode(request.text()));
    text = request.text();
  } else {
    ids.assign(request.token_ids().ids().begin(), request.token_ids().ids().end());
    if (request.options().echo() && live.model->tokenizer != nullptr) {
      text = live.model->tokenizer->Decode(ids, /*skip_special=*/true);
    }
  }
  LC_ASSIGN_OR_RETURN(GenerationRequest resolved,
                      ResolveRequest(request.options(), *live.model, std::move(ids),
                                     live.max_context_tokens));
  resolved.prompt_text = std::move(text);
  return resolved;
}

absl::StatusOr<GenerationRequest> Resolve(const v1::ChatRequest& request, const LiveModel& live) {
  LC_ASSIGN_OR_RETURN(std::vector<int32_t> ids, MakeChatPrompt(request, *live.model));
  std::string text;
  if (request.options().echo()) text = live.model->tokenizer->Decode(ids, /*skip_special=*/true);
  LC_ASSIGN_OR_RETURN(GenerationRequest resolved,
                      ResolveRequest(request.options(), *live.model, std::move(ids),
                                     live.max_context_tokens));
  resolved.prompt_text = std::move(text);
  return resolved;
}

absl::Status TokenizeWith(const ServedModel& model, const v1::TokenizeRequest& request,
                          v1::TokenizeResponse* response) {
  LC_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, NeedTokenizer(model));
  std::vector<int32_t> ids;
  if (request.has_chat()) {
    LC_ASSIGN_OR_RETURN(ids, MakeChatPrompt(request.chat(), model));
  } else {
    const bool special = !request.skip_special_tokens();
    LC_ASSIGN_OR_RETURN(ids,
                        tokenizer->Encode(request.text(), {.add_special_tokens = special,
                                                           .parse_special = special}));
  }
  for (const int32_t id : ids) {
    response->add_token_ids(id);
    response->add_tokens(tokenizer->TokenBytes(id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LiveModel> InferenceService::Find(const std::string& name) const {
  LC_ASSIGN_OR_RETURN(LiveModel live, loop_.Live());
  if (name.empty() || name == live.model->name) return live;
  return WithField(absl::NotFoundError(absl::StrCat("no model named \"", name, "\" is loaded; ",
                                                    live.model->name, " is")),
                   "model", absl::StrCat("must be empty or ", live.model->name));
}

template <typename Request>
InferenceService::Prepared InferenceService::Prepare(const Request& request) const {
  const auto live = Find(request.model());
  if (!live.ok()) return {nullptr, live.status()};
  return {live->model, Resolve(request, *live)};
}

grpc::ServerWriteReactor<v1::GenerateChunk>* InferenceService::Generate(
    grpc::CallbackServerContext*, const v1::GenerateRequest* request) {
  Prepared prepared = Prepare(*request);
  return StreamCall::Start(loop_, std::move(prepared.request), std::move(prepared.model));
}

grpc::ServerUnaryReactor* InferenceService::GenerateUnary(grpc::CallbackServerContext*,
                                                          const v1::GenerateRequest* request,
                                                          v1::GenerateResponse* response) {
  Prepared prepared = Prepare(*request);
  return UnaryCall::Start(loop_, std::move(prepared.request), std::move(prepared.model), response);
}

grpc::ServerWriteReactor<v1::GenerateChunk>* InferenceService::Chat(
    grpc::CallbackServerContext*, const v1::ChatRequest* request) {
  Prepared prepared = Prepare(*request);
  return StreamCall::Start(loop_, std::move(prepared.request), std::move(prepared.model));
}

grpc::ServerUnaryReactor* InferenceService::ChatUnary(grpc::CallbackServerContext*,
                                                      const v1::ChatRequest* request,
                                                      v1::GenerateResponse* response) {
  Prepared prepared = Prepare(*request);
  return UnaryCall::Start(loop_, std::move(prepared.request), std::move(prepared.model), response);
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(grpc::CallbackServerContext* context,
                                                     const v1::TokenizeRequest* request,
                                                     v1::TokenizeResponse* response) {
  const auto live = Find(request->model());
  return Answer(context, live.ok() ? TokenizeWith(*live->model, *request, response)
                                   : live.status());
}

grpc::ServerUnaryReactor* InferenceService::Detokenize(grpc::CallbackServerContext* context,
                                                       const v1::DetokenizeRequest* request,
                                                       v1::DetokenizeResponse* response) {
  const auto live = Find(request->model());
  if (!live.ok()) return Answer(context, live.status());
  const auto tokenizer = NeedTokenizer(*live->model);
  if (!tokenizer.ok()) return Answer(context, tokenizer.status());
  const std::vector<int32_t> ids(request->token_ids().begin(), request->token_ids().end());
  response->set_text((*tokenizer)->Decode(ids, request->skip_special_tokens()));
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* InferenceService::ListModels(grpc::CallbackServerContext* context,
                                                       const v1::ListModelsRequest*,
                                                       v1::ListModelsResponse* response) {
  // Nothing loaded is an answer, not an error.
  if (const auto live = loop_.Live(); live.ok()) {
    const ModelConfig& config = live->model->checkpoint->config();
    v1::ModelInfo* info = response->add_models();
    info->set_name(live->model->name);
    info->set_architecture(config.architecture);
    info->set_num_parameters(static_cast<uint64_t>(live->model->checkpoint->num_parameters()));
    info->set_dtype(std::string(DTypeName(config.dtype)));
    info->set_max_context_tokens(live->max_context_tokens);
    info->set_vocab_size(static_cast<int32_t>(config.vocab_size));
    info->set_has_chat_template(live->model->chat_template.ok());
  }
  return Answer(context, absl::OkStatus());
}

}  // namespace layercake
