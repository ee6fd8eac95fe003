#pragma once

// Models, devices and an exhaustive enumeration of pipelines for the planner's tests.

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "common/model/config.h"
#include "coordinator/placement/planner.h"
#include "coordinator/placement/search.h"

namespace layercake {

inline ModelConfig Llama3_8B() {
  ModelConfig model;
  model.architecture = "llama";
  model.vocab_size = 128256;
  model.hidden_dim = 4096;
  model.intermediate_dim = 14336;
  model.num_layers = 32;
  model.num_heads = 32;
  model.num_kv_heads = 8;
  model.head_dim = 128;
  model.max_context_tokens = 8192;
  model.dtype = DType::kBF16;
  return model;
}

inline ModelConfig TinyModel(int num_layers) {
  ModelConfig model;
  model.architecture = "llama";
  model.vocab_size = 320;
  model.hidden_dim = 64;
  model.intermediate_dim = 128;
  model.num_layers = num_layers;
  model.num_heads = 4;
  model.num_kv_heads = 2;
  model.head_dim = 16;
  model.max_context_tokens = 256;
  model.dtype = DType::kF32;
  return model;
}

inline PlannerDevice MakeDevice(const std::string& name, v1::DeviceKind kind, double bytes,
                                double bytes_per_second, double flops_per_second = 1e15) {
  PlannerDevice device{.name = name, .host = name + "-host"};
  device.device.set_kind(kind);
  device.device.set_total_bytes(static_cast<uint64_t>(bytes));
  device.device.set_free_bytes(static_cast<uint64_t>(bytes));
  device.profile.set_bandwidth_bytes_per_second(bytes_per_second);
  device.profile.set_flops_per_second(flops_per_second);
  return device;
}

inline PlannerDevice Gpu(const std::string& name, double bytes, double bytes_per_second = 288e9) {
  return MakeDevice(name, v1::DEVICE_KIND_CUDA, bytes, bytes_per_second);
}

inline PlannerDevice Cpu(const std::string& name, double bytes, double bytes_per_second = 15e9) {
  return MakeDevice(name, v1::DEVICE_KIND_CPU, bytes, bytes_per_second);
}

inline int Draw(std::mt19937& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

// Some pairs of workers, one way or both, from fast to as slow as a whole stage of TinyModel.
inline std::vector<v1::Link> RandomLinks(std::mt19937& random,
                                         const std::vector<PlannerDevice>& devices) {
  std::vector<v1::Link> links;
  if (Draw(random, 0, 2) == 0) return links;
  for (const PlannerDevice& from : devices) {
    for (const PlannerDevice& to : devices) {
      if (from.name == to.name || Draw(random, 0, 2) == 0) continue;
      v1::Link& link = links.emplace_back();
      link.set_from(from.name);
      link.set_to(to.name);
      link.set_latency_seconds(Draw(random, 0, 20) * 1e-5);
      link.set_bandwidth_bytes_per_second(Draw(random, 1, 100) * 1e6);
    }
  }
  return links;
}

// Calls `visit` with every way to cut `num_layers` layers over every ordered choice of devices.
inline void ForEachPipeline(int num_devices, int num_layers,
                            const std::function<void(const std::vector<StageChoice>&)>& visit) {
  std::vector<StageChoice> stages;
  std::vector<bool> used(num_devices, false);
  std::function<void(int)> place = [&](int first) {
    if (first == num_layers) return visit(stages);
    for (int device = 0; device < num_devices; ++device) {
      if (used[device]) continue;
      used[device] = true;
      for (int count = 1; first + count <= num_layers; ++count) {
        stages.push_back({.device = device, .first = first, .count = count});
        place(first + count);
        stages.pop_back();
      }
      used[device] = false;
    }
  };
  place(0);
}

}  // namespace layercake
