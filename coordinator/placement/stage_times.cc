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

void StageTimes::FindLevels() const {
  for (int count = 1; count <= num_layers_; ++count) {
    for (int first = 0; first + count <= num_layers_; ++first) {
      const int64_t need = needs_[Stage(first, count)];
      // Most layers are alike.
      if (first == 0 || need != levels_.back()) levels_.push_back(need);
    }
  }
  std::ranges::sort(levels_);
  levels_.erase(std::ranges::unique(levels_).begin(), levels_.end());
}

const StageEnvelope& StageTimes::envelope(int device) const {
  if (levels_.empty()) FindLevels();
  const int64_t held = std::ranges::upper_bound(levels_, room(device)) - levels_.begin();
  const auto [known, added] = envelopes_.try_emplace({row(device), held});
  StageEnvelope& envelope = known->second;
  if (!added) return envelope;
  for (QuickestStages* stages : {&envelope.first, &envelope.middle, &envelope.last}) {
    stages->seconds.assign(num_layers_, kDoesNotFit);
  }
  for (int count = 1; count < num_layers_; ++count) {
    envelope.first.seconds[count] = at(device, 0, count);
    envelope.last.seconds[count] = at(device, num_layers_ - count, count);
  }
  for (int first = 1; first < num_layers_; ++first) {
    for (int count = 1; first + count < num_layers_; ++count) {
      double& quickest = envelope.middle.seconds[count];
      quickest = std::min(quickest, at(device, first, count));
    }
  }
  for (QuickestStages* stages : {&envelope.first, &envelope.middle, &envelope.last}) {
    stages->longer = stages->seconds;
    for (int count = num_layers_ - 2; count >= 1; --count) {
      stages->longer[count] = std::min(stages->longer[count], stages->longer[count + 1]);
    }
    for (int count = 1; count < num_layers_; ++count) {
      envelope.per_layer = std::min(envelope.per_layer, stages->seconds[count] / count);
    }
  }
  envelope.whole = at(device, 0, num_layers_);
  return envelope;
}

LinkTimes::LinkTimes(std::vector<int> ports, std::vector<double> seconds)
    : ports_(std::move(ports)),
      num_ports_(ports_.empty() ? 0 : *std::max_element(ports_.begin(), ports_.end()) + 1),
      seconds_(std::move(seconds)) {
  CHECK_GE(seconds_.size(), static_cast<size_t>(num_ports_) * num_ports_);
}

}  // namespace layercake
