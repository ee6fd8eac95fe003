#include "worker/service/link_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/worker/service/worker_fixture.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<v1::MeasureLinkResponse> Measure(TestWorker& from, const std::string& key,
                                                const std::string& address) {
  grpc::ClientContext context;
  v1::MeasureLinkRequest request;
  request.set_probe_key(key);
  request.set_address(address);
  v1::MeasureLinkResponse response;
  const absl::Status status = FromGrpcStatus(from.stub().MeasureLink(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

TEST(LinkProbeTest, WorkersOfOneClusterMeasureTheirLink) {
  TestWorker a, b;
  a.permit().SetKey("key");
  b.permit().SetKey("key");
  LC_ASSERT_OK_AND_ASSIGN(const auto measured, Measure(a, "key", b.address()));
  EXPECT_GT(measured.latency_seconds(), 0);
  EXPECT_LT(measured.latency_seconds(), 5);
  EXPECT_GT(measured.bandwidth_bytes_per_second(), 1e5);
}

TEST(LinkProbeTest, StrangersAreRefusedAtEitherEnd) {
  TestWorker a, b;
  a.permit().SetKey("ours");
  b.permit().SetKey("theirs");
  EXPECT_THAT(Measure(a, "guess", b.address()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("its own cluster")));
  EXPECT_THAT(Measure(a, "ours", b.address()), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(LinkProbeTest, AWorkerWithoutAKeyMeasuresWithNobody) {
  TestWorker a;
  EXPECT_THAT(Measure(a, "", a.address()), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(LinkProbeTest, WithoutAnAddressItOnlyAnswers) {
  TestWorker a;
  a.permit().SetKey("key");
  LC_ASSERT_OK_AND_ASSIGN(const auto measured, Measure(a, "key", ""));
  EXPECT_EQ(measured.latency_seconds(), 0);
}

TEST(LinkProbeTest, APeerThatIsNotThereIsUnavailable) {
  TestWorker a;
  a.permit().SetKey("key");
  std::string address;
  {
    TestWorker gone;
    address = gone.address();
  }
  EXPECT_THAT(Measure(a, "key", address), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(LinkProbeTest, APeerThatHangsIsNotWaitedForLong) {
  // Connections are accepted by the kernel, and nobody says anything on them.
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 8), 0);
  ASSERT_EQ(getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const absl::Time began = Clock::Real()->Now();
  EXPECT_THAT(ProbeLink(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)), "key"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no connection")));
  EXPECT_LT(Clock::Real()->Now() - began, absl::Seconds(10));
  close(silent);
}

TEST(LinkProbeTest, OneCallTakesNoMoreThanItsShare) {
  TestWorker worker;
  worker.permit().SetKey("key");
  grpc::ClientContext context;
  const auto stream = worker.stub().Probe(&context);
  v1::ProbeRequest request;
  request.set_probe_key("key");
  request.mutable_data()->resize(kMostProbeBytes / 4);
  for (int i = 0; i < 5 && stream->Write(request); ++i) {
  }
  stream->WritesDone();
  EXPECT_THAT(FromGrpcStatus(stream->Finish()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("64")));
}

}  // namespace
}  // namespace layercake
