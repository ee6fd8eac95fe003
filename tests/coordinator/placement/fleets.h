#pragma once

// Random fleets of mixed cards over several hosts, with as much memory as is asked for.

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/model/costs.h"
#include "coordinator/placement/planner.h"
#include "tests/coordinator/placement/fixtures.h"

namespace layercake {

inline ModelConfig LargeLlama(int num_layers, int hidden_dim, int intermediate_dim) {
  ModelConfig model = Llama3_8B();
  model.num_layers = num_layers;
  model.hidden_dim = hidden_dim;
  model.intermediate_dim = intermediate_dim;
  model.num_heads = hidden_dim / 128;
  return model;
}
inline ModelConfig Llama70B() { return LargeLlama(80, 8192, 28672); }
inline ModelConfig Llama405B() { return LargeLlama(126, 16384, 53248); }

// Scales the devices' memory so that together they have `share` times the weights of `model`, and
// the last of it to be free differs from device to device.
inline void ScaleMemory(const ModelConfig& model, double share, std::vector<PlannerDevice>& devices,
                        std::mt19937& random) {
  const auto weights = static_cast<double>(StageWeightBytes(
      model, {.num_layers = model.num_layers, .has_embedding = true, .has_head = true}));
  double total = 0;
  for (PlannerDevice& device : devices) {
    const double taken = std::uniform_real_distribution<>(0, 0.1)(random);
    device.device.set_free_bytes(
        static_cast<uint64_t>(static_cast<double>(device.device.total_bytes()) * (1 - taken)));
    total += static_cast<double>(device.device.free_bytes());
  }
  for (PlannerDevice& device : devices) {
    device.device.set_free_bytes(static_cast<uint64_t>(
        static_cast<double>(device.device.free_bytes()) * share * weights / total));
    device.device.set_total_bytes(device.device.free_bytes());
  }
}

// Every device and every link is of its own kind.
inline Fleet UnlikeDevices(uint32_t seed, int count, double share) {
  std::mt19937 random(seed);
  const auto draw = [&random](double low, double high) {
    return std::uniform_real_distribution<>(low, high)(random);
  };
  Fleet fleet;
  for (int i = 0; i < count; ++i) {
    fleet.devices.push_back(Gpu(absl::StrCat("g", i), draw(6e9, 80e9), draw(150e9, 3000e9)));
    fleet.devices.back().profile.set_flops_per_second(draw(5e12, 500e12));
  }
  ScaleMemory(Llama70B(), share, fleet.devices, random);
  for (const PlannerDevice& from : fleet.devices) {
    for (const PlannerDevice& to : fleet.devices) {
      if (from.name == to.name) continue;
      v1::Link& link = fleet.links.emplace_back();
      link.set_from(from.name);
      link.set_to(to.name);
      link.set_latency_seconds(draw(20e-6, 500e-6));
      link.set_bandwidth_bytes_per_second(draw(1e8, 2e10));
    }
  }
  return fleet;
}

struct Card {
  double bytes;
  double bytes_per_second;
  double flops_per_second;
};

// Hosts h0, h1 and so on, with networks of so many bytes a second between them.
template <typename BytesPerSecond>
void LinkHosts(int hosts, BytesPerSecond between, Fleet& fleet) {
  for (int from = 0; from < hosts; ++from) {
    for (int to = 0; to < hosts; ++to) {
      v1::Link& link = fleet.links.emplace_back();
      link.set_from(absl::StrCat("h", from));
      link.set_to(absl::StrCat("h", to));
      link.set_latency_seconds(from == to ? 20e-6 : 150e-6);
      link.set_bandwidth_bytes_per_second(from == to ? 10e9 : between(from, to));
    }
  }
}

// Hosts of a few cards, most of one kind each; links as fast as the slower of two hosts' networks.
inline Fleet MixedFleet(uint32_t seed, int count, int per_host, double share,
                        const ModelConfig& model = Llama405B()) {
  constexpr Card kCards[] = {{12e9, 288e9, 7e12},    {6e9, 192e9, 4e12},    {24e9, 936e9, 70e12},
                             {24e9, 1008e9, 160e12}, {48e9, 768e9, 150e12}, {40e9, 1555e9, 300e12},
                             {80e9, 2039e9, 300e12}, {80e9, 3350e9, 900e12}};
  constexpr double kNetworks[] = {118e6, 1.18e9, 11.8e9};
  std::mt19937 random(seed);
  const auto pick = [&random](int count) {
    return std::uniform_int_distribution<>(0, count - 1)(random);
  };
  Fleet fleet;
  std::vector<double> networks;
  const int num_hosts = (count + per_host - 1) / per_host;
  for (int host = 0; host < num_hosts; ++host) {
    networks.push_back(kNetworks[pick(3)]);
    const int main_card = pick(8);
    for (int i = 0; i < per_host && static_cast<int>(fleet.devices.size()) < count; ++i) {
      const Card& card = kCards[pick(4) == 0 ? pick(8) : main_card];
      PlannerDevice device =
          Gpu(absl::StrCat("h", host, "g", i), card.bytes, card.bytes_per_second);
      device.host = absl::StrCat("h", host);
      device.profile.set_flops_per_second(card.flops_per_second);
      fleet.devices.push_back(std::move(device));
    }
  }
  ScaleMemory(model, share, fleet.devices, random);
  LinkHosts(
      num_hosts, [&](int from, int to) { return std::min(networks[from], networks[to]); }, fleet);
  return fleet;
}

// Hosts of equal cards, of each kind of card in turn, in one network of 10 Gbit/s; all memory free.
inline Fleet EqualHosts(int hosts, int per_host, const std::vector<Card>& cards) {
  Fleet fleet;
  for (int host = 0; host < hosts; ++host) {
    const Card& card = cards[host % cards.size()];
    for (int i = 0; i < per_host; ++i) {
      PlannerDevice device =
          Gpu(absl::StrCat("h", host, "g", i), card.bytes, card.bytes_per_second);
      device.host = absl::StrCat("h", host);
      device.profile.set_flops_per_second(card.flops_per_second);
      fleet.devices.push_back(std::move(device));
    }
  }
  LinkHosts(
      hosts, [](int, int) { return 1.18e9; }, fleet);
  return fleet;
}

// Unlike cards, each on a host of its own, with networks that nobody measured.
inline Fleet UnlikeHosts(int count) {
  Fleet fleet;
  for (int i = 0; i < count; ++i) {
    fleet.devices.push_back(Gpu(absl::StrCat("g", i), (12 + 2 * i) * 1e9, (460 + 10 * i) * 1e9));
  }
  return fleet;
}

// Cards of few kinds, each on a host of its own in one slow network.
inline Fleet HostsOfOneCard(int count, int num_kinds) {
  const Fleet kinds = UnlikeDevices(1, num_kinds, 40.0 * num_kinds / count);
  Fleet fleet;
  for (int i = 0; i < count; ++i) {
    PlannerDevice device = kinds.devices[i % num_kinds];
    device.name = absl::StrCat("card-", i);
    device.host = absl::StrCat("host-", i);
    fleet.devices.push_back(std::move(device));
  }
  return fleet;
}

}  // namespace layercake
