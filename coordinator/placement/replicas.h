#pragma once

// Divides devices over several pipelines.

#include <optional>
#include <vector>

#include "coordinator/placement/search.h"

namespace layercake {

struct Replicas {
  std::vector<Pipeline> pipelines;  // the quickest first; disjoint devices
  double rate = 0;                  // steps a second: 1 / cycle of each, added up
};

// At most one for each number of pipelines, fewest first.
struct Divisions {
  std::vector<Replicas> by_number;
  // No division, into any number, or into `wanted` if that was said, has a higher rate.
  double bound = 0;
};

// No division has more pipelines: so often the devices hold all layers, each as many as it does at
// best.
int MostReplicas(const SearchSpace& space);

// Whether the devices can be divided into that many pipelines at all. Up to kMaxPairsToDivide every
// division counts; beyond, those only that deal the devices out evenly.
bool AnyDivision(const SearchSpace& space, int number);

// Divides into `wanted` pipelines, or if that is 0 into one, two and more: devices are dealt out
// evenly to several numbers of pipelines. Empty: no division was found.
Divisions DivideDevices(const SearchSpace& space, int wanted);

// No division into any number of pipelines has a higher rate: the pipelines of cycles C have a rate
// of sum(1 / C) = sum over their devices of (layers / all layers) / C, and no device that takes n
// layers in t seconds has C < t.
double ReplicaRateBound(const SearchSpace& space);

}  // namespace layercake
