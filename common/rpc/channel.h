#pragma once

// Options that every channel and server of ours shares: keepalive, message limits.

#include <grpcpp/channel.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace layercake {

// The largest message of any service: a full step's activations and some.
inline constexpr int kMaxMessageBytes = 256 << 20;

// A lazily connecting, unencrypted channel that notices a silent peer through keepalive pings.
// Every channel has a connection of its own: a stage's streams must not wait for one another.
std::shared_ptr<grpc::Channel> CreateChannel(const std::string& address);

// The same, connected; for peers whose silence others wait for. Errors: Unavailable (not within
// three seconds).
absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectChannel(const std::string& address);

// Applies the shared options to `builder`.
void ConfigureServer(grpc::ServerBuilder& builder);

// Starts `builder` listening on `address` ("host:port"; port 0 picks a free one) and returns the
// server; `*port` is the port bound.
// Errors: InvalidArgument (not host:port), Unavailable (the port is in use, or not ours to take).
absl::StatusOr<std::unique_ptr<grpc::Server>> StartServer(grpc::ServerBuilder& builder,
                                                          const std::string& address, int* port);

}  // namespace layercake
