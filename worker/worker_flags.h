#pragma once

// The command line of layercake-worker.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "worker/service/link_broker.h"

namespace layercake {

struct WorkerFlags {
  std::string coordinator;  // host:port; required but with list_devices
  std::string name;         // empty: <host>-cpu-0, <host>-cuda-1
  std::string listen = "127.0.0.1:0";
  std::string advertise;        // host that others reach this worker by; empty: the one listened on
  std::string device = "auto";  // see OpenDevice
  bool share_card = false;
  int64_t memory_bytes = 0;  // 0: no cap
  int num_threads = 0;       // 0: all cores
  std::string model_root;
  std::string profile = "cached";
  bool exit_with_parent = false;
  Transport transport = Transport::kAuto;
  std::string cuda_graphs = "auto";    // or "off"
  std::string dense_products = "own";  // or "cublaslt"
  bool list_devices = false;
  std::string output = "table";  // of list_devices; or "json"
};

void AddWorkerFlags(CLI::App& app, WorkerFlags* flags);

std::string HostName();

// host:port by which others reach a server that listens on `listen` with `port` bound.
std::string AdvertisedAddress(const WorkerFlags& flags, int port);

}  // namespace layercake
