#include "coordinator/placement/stage_times.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/base/logging.h"

namespace layercake {
namespace {

std::vector<int> UpTo(int count) {
  std::vector<int> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

StageTimes::StageTimes(int num_devices, int num_layers)
    : StageTimes(UpTo(num_devices), num_devices, num_layers) {}

StageTimes::StageTimes(std::vector<int> rows, int num_rows, int num_layers)
    : num_layers_(num_layers),
      stages_(static_cast<size_t>(num_layers) * num_layers),
      rows_(std::move(rows)),
      rooms_(rows_.size(), 0),
      needs_(stages_, 0),
      seconds_(stages_ * num_rows, kDoesNotFit) {}

LinkTimes::LinkTimes(std::vector<int> ports, std::vector<double> seconds)
    : ports_(std::move(ports)),
      num_ports_(ports_.empty() ? 0 : *std::max_element(ports_.begin(), ports_.end()) + 1),
      seconds_(std::move(seconds)) {
  CHECK_GE(seconds_.size(), static_cast<size_t>(num_ports_) * num_ports_);
}

}  // namespace layercake
