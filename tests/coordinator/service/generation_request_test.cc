#include "coordinator/service/generation_request.h"

#include <cmath>
#include <functional>

#include "google/rpc/error_details.pb.h"
#include "common/rpc/status.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

class GenerationRequestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LC_ASSERT_OK_AND_ASSIGN(
        model_, ServedModel::Open(LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-gqa", ""));
  }

  absl::StatusOr<GenerationRequest> Resolve(const v1::GenerateOptions& options,
                                            std::vector<int32_t> ids = {1, 2, 3}) {
    return ResolveRequest(options, *model_, std::move(ids), /*max_context_tokens=*/16);
  }

  std::shared_ptr<const ServedModel> model_;
};

TEST_F(GenerationRequestTest, FillsInDefaults) {
  LC_ASSERT_OK_AND_ASSIGN(const GenerationRequest request, Resolve({}));
  EXPECT_EQ(request.max_tokens, 13);
  EXPECT_EQ(request.n, 1);
  EXPECT_EQ(request.sampling.top_p(), 1);
  EXPECT_EQ(request.sampling.repetition_penalty(), 1);
  EXPECT_FALSE(request.logprobs);
}

TEST_F(GenerationRequestTest, UnseededRequestsDiffer) {
  LC_ASSERT_OK_AND_ASSIGN(const GenerationRequest a, Resolve({}));
  LC_ASSERT_OK_AND_ASSIGN(const GenerationRequest b, Resolve({}));
  EXPECT_NE(a.sampling.seed(), b.sampling.seed());
}

TEST_F(GenerationRequestTest, MaxTokensEndsWithTheContext) {
  v1::GenerateOptions options;
  options.set_max_tokens(1000);
  LC_ASSERT_OK_AND_ASSIGN(const GenerationRequest request, Resolve(options));
  EXPECT_EQ(request.max_tokens, 13);
}

TEST_F(GenerationRequestTest, NamesEveryFieldThatIsWrong) {
  using Options = v1::GenerateOptions;
  const std::pair<const char*, std::function<void(Options&)>> cases[] = {
      {"options.sampling.temperature", [](Options& o) { o.mutable_sampling()->set_temperature(-1); }},
      {"options.sampling.temperature",
       [](Options& o) { o.mutable_sampling()->set_temperature(NAN); }},
      {"options.sampling.top_k", [](Options& o) { o.mutable_sampling()->set_top_k(-1); }},
      {"options.sampling.top_p", [](Options& o) { o.mutable_sampling()->set_top_p(0); }},
      {"options.sampling.top_p", [](Options& o) { o.mutable_sampling()->set_top_p(1.5); }},
      {"options.sampling.min_p", [](Options& o) { o.mutable_sampling()->set_min_p(2); }},
      {"options.sampling.repetition_penalty",
       [](Options& o) { o.mutable_sampling()->set_repetition_penalty(0); }},
      {"options.sampling.presence_penalty",
       [](Options& o) { o.mutable_sampling()->set_presence_penalty(-3); }},
      {"options.sampling.frequency_penalty",
       [](Options& o) { o.mutable_sampling()->set_frequency_penalty(3); }},
      {"options.max_tokens", [](Options& o) { o.set_max_tokens(0); }},
      {"options.n", [](Options& o) { o.set_n(17); }},
      {"options.top_logprobs", [](Options& o) { o.set_top_logprobs(21); }},
      {"options.stop", [](Options& o) { o.add_stop(""); }},
  };
  v1::GenerateOptions all;
  for (const auto& [field, set] : cases) {
    v1::GenerateOptions options;
    set(options);
    set(all);
    EXPECT_THAT(Resolve(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  }
  const grpc::Status wire = ToGrpcStatus(Resolve(all).status());
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  google::rpc::BadRequest bad_request;
  for (const auto& any : details.details()) any.UnpackTo(&bad_request);
  EXPECT_EQ(bad_request.field_violations_size(), 11);
}

TEST_F(GenerationRequestTest, RefusesPromptsThatDoNotFit) {
  EXPECT_THAT(Resolve({}, {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(Resolve({}, std::vector<int32_t>(16, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("16 tokens")));
  EXPECT_THAT(Resolve({}, {1, -1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token id -1")));
  EXPECT_THAT(Resolve({}, {1'000'000}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token id 1000000")));
}

TEST_F(GenerationRequestTest, StopStringsNeedATokenizer) {
  LC_ASSERT_OK_AND_ASSIGN(
      model_, ServedModel::Open(LAYERCAKE_SOURCE_DIR "/tests/golden/models/llama-bias", ""));
  v1::GenerateOptions options;
  options.add_stop("end");
  EXPECT_THAT(Resolve(options),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("tokenizer.json")));
}

}  // namespace
}  // namespace layercake
