#pragma once

// The command line of layercake-worker.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace layercake {

struct WorkerFlags {
  std::string coordinator;  // host:port
  std::string name;         // empty: <host>-cpu-0
  std::string listen = "127.0.0.1:0";
  std::string advertise;  // host that others reach this worker by; empty: the one listened on
  std::string device = "cpu";
  int64_t memory_bytes = 0;  // 0: no cap
  int num_threads = 0;       // 0: all cores
  std::string model_root;
  std::string profile = "cached";
  bool exit_with_parent = false;
};

void AddWorkerFlags(CLI::App& app, WorkerFlags* flags);

// Errors: Unimplemented (a device that this build cannot drive); InvalidArgument (no device at
// all).
absl::Status CheckDevice(const std::string& device);

std::string HostName();

// host:port by which others reach a server that listens on `listen` with `port` bound.
std::string AdvertisedAddress(const WorkerFlags& flags, int port);

}  // namespace layercake
