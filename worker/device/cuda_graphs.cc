#include "worker/device/cuda_graphs.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "common/model/costs.h"

namespace layercake {
namespace {

// Keys that are remembered, with a graph or without. More are shapes that seldom come again.
constexpr size_t kMaxShapes = 4 * CudaGraphs::kMaxGraphs;

}  // namespace

CudaGraphs::CudaGraphs(CudaDevice& device)
    : device_(device), max_bytes_(GraphBytes(device.usable_bytes())) {}

void CudaGraphs::Clear() {
  for (Shape& shape : shapes_) Release(shape.graph);
  shapes_.clear();
}

void CudaGraphs::Run(uint64_t key, absl::FunctionRef<void()> issue) {
  ++num_runs_;
  Shape* const shape = Find(key);
  if (shape == nullptr) {
    Remember(key);
    return issue();
  }
  shape->last_run = num_runs_;
  if (shape->graph == nullptr && !refused_ && MakeRoom()) Capture(*shape, issue);
  if (shape->graph == nullptr) return issue();
  device_.Launch(shape->graph);
}

CudaGraphs::Shape* CudaGraphs::Find(uint64_t key) {
  const auto shape = std::find_if(shapes_.begin(), shapes_.end(),
                                  [&](const Shape& each) { return each.key == key; });
  return shape == shapes_.end() ? nullptr : &*shape;
}

void CudaGraphs::Remember(uint64_t key) {
  if (shapes_.size() == kMaxShapes) {
    const auto rank = [](const Shape& shape) {
      return std::pair(shape.graph != nullptr, shape.last_run);
    };
    shapes_.erase(
        std::min_element(shapes_.begin(), shapes_.end(),
                         [&](const Shape& a, const Shape& b) { return rank(a) < rank(b); }));
  }
  shapes_.push_back({key, num_runs_, CudaGraph()});
}

size_t CudaGraphs::NumGraphs() const {
  return static_cast<size_t>(std::count_if(
      shapes_.begin(), shapes_.end(), [](const Shape& shape) { return shape.graph != nullptr; }));
}

// Only what is idle makes way: to record costs more than to launch, and shapes that take turns
// would have each other recorded again every time.
bool CudaGraphs::MakeRoom() {
  if (NumGraphs() < max_graphs_) return true;
  Shape* oldest = nullptr;
  for (Shape& shape : shapes_) {
    if (shape.graph == nullptr) continue;
    if (oldest == nullptr || shape.last_run < oldest->last_run) oldest = &shape;
  }
  if (oldest == nullptr || num_runs_ - oldest->last_run < kIdleRuns) return false;
  Release(oldest->graph);
  return true;
}

void CudaGraphs::Release(CudaGraph& graph) {
  if (graph == nullptr) return;
  const int64_t free_bytes = device_.Memory().free_bytes;
  graph.reset();
  bytes_ += free_bytes - device_.Memory().free_bytes;
}

void CudaGraphs::Capture(Shape& shape, absl::FunctionRef<void()> issue) {
  const int64_t free_bytes = device_.Memory().free_bytes;
  absl::StatusOr<CudaGraph> graph = device_.Capture(issue);
  const int64_t taken_bytes = std::max<int64_t>(0, free_bytes - device_.Memory().free_bytes);
  if (!graph.ok()) {
    if (!device_.status().ok()) return;
    LOG(WARNING) << graph.status().message() << "; kernels are launched one by one from now on";
    refused_ = true;
  } else if (taken_bytes > 0 && bytes_ + taken_bytes > max_bytes_) {
    graph->reset();
    if (second_tries_++ < kSecondTries) return;
    max_graphs_ = NumGraphs();
    LOG(INFO) << "CUDA graphs may take " << FormatBytes(max_bytes_) << " of " << device_.name()
              << ", which " << max_graphs_ << " do";
  } else {
    bytes_ += taken_bytes;
    shape.graph = *std::move(graph);
  }
}

}  // namespace layercake
