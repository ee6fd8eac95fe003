#include "common/rpc/channel.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

using ::testing::HasSubstr;

TEST(StartServerTest, APortInUseIsSaidInWords) {
  int port = 0;
  grpc::CallbackGenericService service;
  grpc::ServerBuilder first;
  ConfigureServer(first);
  first.RegisterCallbackGenericService(&service);
  LC_ASSERT_OK_AND_ASSIGN(auto server, StartServer(first, "127.0.0.1:0", &port));
  ASSERT_GT(port, 0);

  int other_port = 0;
  grpc::CallbackGenericService other_service;
  grpc::ServerBuilder second;
  ConfigureServer(second);
  second.RegisterCallbackGenericService(&other_service);
  EXPECT_THAT(StartServer(second, absl::StrCat("127.0.0.1:", port), &other_port),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in use")));
}

TEST(StartServerTest, RefusesWhatIsNoAddress) {
  for (const char* address : {"", "localhost", ":1", "localhost:http", "localhost:70000"}) {
    grpc::ServerBuilder builder;
    int port = 0;
    EXPECT_THAT(StartServer(builder, address, &port),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")))
        << address;
  }
}

}  // namespace
}  // namespace layercake
