#include "common/rpc/status.h"

#include "google/rpc/error_details.pb.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

TEST(StatusTest, DetailsSurviveTheWire) {
  absl::Status status = absl::InvalidArgumentError("temperature must be at least 0, got -1");
  status = WithReason(status, "BAD_SAMPLING");
  status = WithField(status, "options.sampling.temperature", "must be at least 0");
  status = WithField(status, "options.max_tokens", "must be at least 1");
  status = WithRetryAfter(status, absl::Milliseconds(1500));

  const grpc::Status wire = ToGrpcStatus(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FromGrpcStatus(wire), status);

  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.message(), status.message());
  int seen = 0;
  for (const auto& any : details.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&bad_request)) {
      ++seen;
      ASSERT_EQ(bad_request.field_violations_size(), 2);
      EXPECT_EQ(bad_request.field_violations(1).field(), "options.max_tokens");
    } else if (any.UnpackTo(&retry)) {
      ++seen;
      EXPECT_EQ(retry.retry_delay().seconds(), 1);
      EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
    }
  }
  EXPECT_EQ(seen, 2);
}

TEST(StatusTest, EveryErrorHasAReason) {
  const absl::Status status = FromGrpcStatus(ToGrpcStatus(absl::NotFoundError("no such model")));
  EXPECT_EQ(ErrorReason(status), "NOT_FOUND");
}

TEST(StatusTest, OkStaysOk) { EXPECT_OK(FromGrpcStatus(ToGrpcStatus(absl::OkStatus()))); }

}  // namespace
}  // namespace layercake
