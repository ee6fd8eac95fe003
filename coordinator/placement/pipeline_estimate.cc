#include "coordinator/placement/pipeline_estimate.h"

#include <algorithm>
#include <tuple>

namespace layercake {

void PipelineEstimator::Estimate(EstimatedPipeline& pipeline) {
  ++count_;
  const double cycle = CycleOf(pipeline, classes_.At(pipeline.sequences));
  pipeline.tokens_per_second =
      cycle == kDoesNotFit ? 0 : static_cast<double>(pipeline.sequences) / cycle;
}

void PipelineEstimator::EstimateBest(EstimatedPipeline& pipeline, bool all) {
  const int64_t batch = cost_.limits().max_batch_sequences;
  const int64_t own = pipeline.sequences;
  std::vector<int64_t> sizes = {own, own + 1, own - 1, 2 * own, own / 2};
  if (all) {
    sizes.clear();
    for (int64_t size = batch; size >= 1; size = size * 7 / 8) sizes.push_back(size);
  }
  pipeline.tokens_per_second = -1;
  EstimatedPipeline tried = pipeline;
  for (const int64_t size : sizes) {
    if (size < 1 || size > batch) continue;
    tried.sequences = size;
    Estimate(tried);
    if (tried.tokens_per_second <= pipeline.tokens_per_second) continue;
    pipeline.sequences = size;
    pipeline.tokens_per_second = tried.tokens_per_second;
  }
}

bool PipelineEstimator::ChooseEnds(const EstimatedPipeline& pipeline, const StepCosts& step) {
  const std::vector<int>& devices = pipeline.devices;
  const int num_devices = static_cast<int>(devices.size());
  const auto seconds = [&](int i) -> const StageSeconds& {
    return step.of_class[classes_.class_of(devices[i])];
  };
  last_ = first_ = -1;
  const auto rank_last = [&](int i) {
    return std::pair(rooms_[i].middle - rooms_[i].last, seconds(i).last[1] - seconds(i).middle[1]);
  };
  for (int i = 0; i < num_devices; ++i) {
    if (rooms_[i].last == 0) continue;
    if (last_ < 0 || rank_last(i) < rank_last(last_)) last_ = i;
  }
  if (last_ < 0) return false;
  // A port with slow links is best at an end, where only one of them is taken.
  const int last_port = step.links.port(devices[last_]);
  const auto rank_first = [&](int i) {
    const int port = step.links.port(devices[i]);
    return std::pair(rooms_[i].middle - rooms_[i].first,
                     port == last_port ? 0 : -step.to_others[port]);
  };
  for (int i = 0; i < num_devices; ++i) {
    if (i == last_ || rooms_[i].first == 0) continue;
    if (first_ < 0 || rank_first(i) < rank_first(first_)) first_ = i;
  }
  return first_ >= 0;
}

// The port of the first device first, that of the last one last, the others by how slow their links
// are, up or down.
void PipelineEstimator::OrderPorts(const EstimatedPipeline& pipeline, const StepCosts& step) {
  const int first = step.links.port(pipeline.devices[first_]);
  const int last = step.links.port(pipeline.devices[last_]);
  ports_.clear();
  for (const int device : pipeline.devices) {
    const int port = step.links.port(device);
    if (port == first || port == last) continue;
    if (std::ranges::find(ports_, port) == ports_.end()) ports_.push_back(port);
  }
  std::sort(ports_.begin(), ports_.end(), [&step](int a, int b) {
    return std::pair(step.to_others[a], a) < std::pair(step.to_others[b], b);
  });
  if (ports_.empty() && first == last) {
    ports_ = {first};
    return;
  }
  std::vector<int> down = {first};
  down.insert(down.end(), ports_.rbegin(), ports_.rend());
  down.push_back(last);
  ports_.insert(ports_.begin(), first);
  ports_.push_back(last);
  const double up_seconds = LinkSeconds(step);
  ports_.swap(down);
  if (up_seconds < LinkSeconds(step)) ports_.swap(down);
}

double PipelineEstimator::LinkSeconds(const StepCosts& step) const {
  double sum = 0;
  for (size_t i = 1; i < ports_.size(); ++i) {
    sum += step.links.between_ports(ports_[i - 1], ports_[i]);
  }
  return sum;
}

double PipelineEstimator::CycleOf(const EstimatedPipeline& pipeline, const StepCosts& step) {
  const std::vector<int>& devices = pipeline.devices;
  const int num_devices = static_cast<int>(devices.size());
  const int64_t in_flight = pipeline.sequences == 1 ? 1 : pipeline.sequences * num_devices;
  const int64_t kv_bytes = classes_.KvBytes(in_flight);
  rooms_.clear();
  for (const int device : devices) {
    rooms_.push_back(classes_.RoomFor(kv_bytes, classes_.room(device)));
  }
  if (num_devices == 1) {
    return rooms_[0].whole ? step.of_class[classes_.class_of(devices[0])].whole : kDoesNotFit;
  }
  if (num_devices == 0 || !ChooseEnds(pipeline, step)) return kDoesNotFit;
  layers_.clear();
  // The ends have a layer at least.
  double period = 0;
  double sum = 0;
  int stages = 2;
  for (int i = 0; i < num_devices; ++i) {
    const StageSeconds& of = step.of_class[classes_.class_of(devices[i])];
    const auto& [seconds, most] = i == first_  ? std::tie(of.first, rooms_[i].first)
                                  : i == last_ ? std::tie(of.last, rooms_[i].last)
                                               : std::tie(of.middle, rooms_[i].middle);
    int count = 1;
    if (i == first_ || i == last_) {
      period = std::max(period, seconds[1]);
      sum += seconds[1];
      count = 2;
    }
    for (; count <= most; ++count) {
      const double before = count == 1 ? 0 : seconds[count - 1];
      layers_.push_back({seconds[count], seconds[count] - before, count == 1});
    }
  }
  const auto wanted = static_cast<size_t>(std::max(0, cost_.num_layers() - 2));
  if (layers_.size() < wanted) return kDoesNotFit;
  std::nth_element(
      layers_.begin(), layers_.begin() + static_cast<int64_t>(wanted) - 1, layers_.end(),
      [](const Layer& a, const Layer& b) { return a.stage_seconds < b.stage_seconds; });
  for (size_t i = 0; i < wanted; ++i) {
    period = std::max(period, layers_[i].stage_seconds);
    sum += layers_[i].more_seconds;
    stages += layers_[i].is_first ? 1 : 0;
  }
  OrderPorts(pipeline, step);
  sum += LinkSeconds(step);
  for (size_t i = 1; i < ports_.size(); ++i) {
    period = std::max(period, step.links.between_ports(ports_[i - 1], ports_[i]));
  }
  // Each other device is entered within its port.
  for (const int device : devices) {
    const int port = step.links.port(device);
    sum += step.links.between_ports(port, port);
  }
  for (const int port : ports_) sum -= step.links.between_ports(port, port);
  return std::max(period, sum / stages);
}

std::vector<int> PipelineEstimator::Order(const EstimatedPipeline& pipeline) {
  const StepCosts& step = classes_.At(pipeline.sequences);
  const std::vector<int>& devices = pipeline.devices;
  if (devices.size() < 2 || CycleOf(pipeline, step) == kDoesNotFit) return devices;
  std::vector<int> order = {devices[first_]};
  std::vector<int> visited;
  for (const int port : ports_) {
    if (std::ranges::find(visited, port) != visited.end()) continue;
    visited.push_back(port);
    for (size_t i = 0; i < devices.size(); ++i) {
      if (static_cast<int>(i) == first_ || static_cast<int>(i) == last_) continue;
      if (step.links.port(devices[i]) == port) order.push_back(devices[i]);
    }
  }
  order.push_back(devices[last_]);
  return order;
}

}  // namespace layercake
