// Loads each golden checkpoint on a cluster, cut equally over so many workers, and holds what it
// serves against transformers' greedy ids. A line a model, and one of all; exits with 1 if any
// differs. A model that cannot be served at all ends it: the next would fail as slowly.
//
//   served_goldens MODELS_DIR --coordinator HOST:PORT --stages 2

#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "layercake/v1/admin.grpc.pb.h"
#include "layercake/v1/inference.grpc.pb.h"

namespace layercake {
namespace {

using nlohmann::json;

constexpr int64_t kContextTokens = 256;

struct Cluster {
  std::unique_ptr<v1::Admin::Stub> admin;
  std::unique_ptr<v1::Inference::Stub> inference;
  int stages = 1;
};

// In which form the weights are to be held: the checkpoint's own, or one that a worker makes.
v1::WeightType Held(const json& expected) {
  const std::string weights = expected.value("weights", "");
  if (weights == "int8") return v1::WEIGHT_TYPE_INT8;
  if (weights == "int4") return v1::WEIGHT_TYPE_INT4;
  return v1::WEIGHT_TYPE_UNSPECIFIED;
}

absl::StatusOr<v1::Plan> Load(const Cluster& cluster, const std::string& directory, int64_t context,
                              v1::WeightType weights) {
  v1::LoadModelRequest request;
  request.set_model_dir(directory);
  v1::PlanOptions& options = *request.mutable_options();
  options.set_policy(v1::PlanOptions::POLICY_BALANCED);
  options.set_context_tokens(static_cast<int32_t>(context));
  options.set_kv_type(v1::KV_TYPE_F32);
  options.set_weight_type(weights);
  options.set_replicas(1);
  grpc::ClientContext call;
  const auto reader = cluster.admin->LoadModel(&call, request);
  v1::LoadModelProgress progress;
  while (reader->Read(&progress)) {
  }
  LC_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  if (progress.plan().stages_size() == cluster.stages) return progress.plan();
  return absl::FailedPreconditionError(
      absl::StrCat("it was cut into ", progress.plan().stages_size(), " stages"));
}

absl::Status Check(const Cluster& cluster, const json& prompt) {
  v1::GenerateRequest request;
  for (const int32_t id : prompt["ids"]) request.mutable_token_ids()->add_ids(id);
  const std::vector<int32_t> expected = prompt["greedy_ids"];
  request.mutable_options()->mutable_sampling()->set_temperature(0);
  request.mutable_options()->set_max_tokens(static_cast<int32_t>(expected.size()));
  request.mutable_options()->set_ignore_eos(true);
  grpc::ClientContext call;
  v1::GenerateResponse response;
  LC_RETURN_IF_ERROR(FromGrpcStatus(cluster.inference->GenerateUnary(&call, request, &response)));
  const auto& ids = response.completions(0).token_ids();
  if (std::equal(ids.begin(), ids.end(), expected.begin(), expected.end())) {
    return absl::OkStatus();
  }
  const auto at = std::mismatch(ids.begin(), ids.end(), expected.begin(), expected.end()).second;
  return absl::DataLossError(absl::StrCat("a prompt of ", prompt["ids"].size(),
                                          " tokens differs from token ", at - expected.begin()));
}

// Says what was checked.
absl::StatusOr<std::string> CheckModel(const Cluster& cluster,
                                       const std::filesystem::path& directory) {
  const json config = json::parse(std::ifstream(directory / "config.json"));
  const json expected = json::parse(std::ifstream(directory / "expected.json"));
  const int64_t context = std::min<int64_t>(kContextTokens, config["max_position_embeddings"]);
  LC_ASSIGN_OR_RETURN(const v1::Plan plan,
                      Load(cluster, directory.string(), context, Held(expected)));
  int64_t tokens = 0;
  for (const json& prompt : expected["prompts"]) {
    const size_t length = prompt["ids"].size() + prompt["greedy_ids"].size();
    if (prompt["greedy_ids"].empty() || static_cast<int64_t>(length) > context) continue;
    LC_RETURN_IF_ERROR(Check(cluster, prompt));
    tokens += static_cast<int64_t>(prompt["greedy_ids"].size());
  }
  std::string text = absl::StrCat("all ", tokens, " greedy ids are transformers'");
  for (int i = 0; i + 1 < plan.stages_size(); ++i) {
    const v1::StagePlan& stage = plan.stages(i);
    absl::StrAppend(&text, "; over ", stage.link(), " (", stage.link_reason(), ")");
  }
  return text;
}

int Main(int argc, char** argv) {
  CLI::App app("Holds served golden checkpoints against transformers");
  std::string models, coordinator;
  Cluster cluster;
  app.add_option("MODELS_DIR", models)->required()->check(CLI::ExistingDirectory);
  app.add_option("--coordinator", coordinator)->required();
  app.add_option("--stages", cluster.stages);
  CLI11_PARSE(app, argc, argv);
  cluster.admin = v1::Admin::NewStub(CreateChannel(coordinator));
  cluster.inference = v1::Inference::NewStub(CreateChannel(coordinator));
  std::vector<std::filesystem::path> directories;
  for (const auto& entry : std::filesystem::directory_iterator(models)) {
    if (entry.is_directory()) directories.push_back(std::filesystem::absolute(entry.path()));
  }
  std::sort(directories.begin(), directories.end());
  size_t num_passed = 0;
  for (const auto& directory : directories) {
    const auto checked = CheckModel(cluster, directory);
    num_passed += checked.ok() ? 1 : 0;
    std::printf("%s %s: %s\n", checked.ok() ? "PASS" : "FAIL", directory.filename().c_str(),
                checked.ok() ? checked->c_str() : checked.status().ToString().c_str());
    if (!checked.ok() && !absl::IsDataLoss(checked.status())) return 1;
  }
  std::printf("%zu of %zu checkpoints say what transformers says\n", num_passed,
              directories.size());
  return num_passed == directories.size() && num_passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace layercake

int main(int argc, char** argv) { return layercake::Main(argc, argv); }
