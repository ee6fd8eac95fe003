#include "coordinator/simulate/percentiles.h"

#include <algorithm>

namespace layercake {

Percentiles PercentilesOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&values](size_t percent) {
    return values[(values.size() * percent + 99) / 100 - 1];
  };
  return {.p50 = at(50), .p99 = at(99)};
}

}  // namespace layercake
