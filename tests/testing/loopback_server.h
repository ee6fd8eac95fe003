#pragma once

// A gRPC server of a test's own services, as our programs start theirs.

#include <grpcpp/server.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/rpc/channel.h"

namespace layercake {

// Listens from construction on. Ends calls before it is destroyed only where told to.
class LoopbackServer {
 public:
  // services: must outlive this.   address: "127.0.0.1:0" is any free port.
  explicit LoopbackServer(const std::vector<grpc::Service*>& services,
                          const std::string& address = "127.0.0.1:0") {
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    for (grpc::Service* service : services) builder.RegisterService(service);
    int port = 0;
    auto server = StartServer(builder, address, &port);
    CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = absl::StrCat("127.0.0.1:", port);
  }

  const std::string& address() const { return address_; }

  // Once all calls have ended.
  void Shutdown() { server_->Shutdown(); }
  // Ends what calls there are after so long.
  void Shutdown(std::chrono::milliseconds grace) {
    server_->Shutdown(std::chrono::system_clock::now() + grace);
  }
  // As if the process died: no call is ended in words.
  void Die() { Shutdown(std::chrono::milliseconds(0)); }

 private:
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace layercake
