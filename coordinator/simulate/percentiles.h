#pragma once

#include <vector>

namespace layercake {

struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};

// Nearest rank: the least value that at least half (99%) of `values` do not exceed. Zeros for none.
Percentiles PercentilesOf(std::vector<double> values);

}  // namespace layercake
