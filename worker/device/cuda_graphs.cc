#include "worker/device/cuda_graphs.h"

#include <algorithm>
#include <utility>

#include "common/base/logging.h"

namespace layercake {
namespace {

// Keys that are remembered, with a graph or without. More are shapes that seldom come again.
constexpr size_t kMaxShapes = 4 * CudaGraphs::kMaxGraphs;

void NoGraph(CUgraphExec_st*) {}

}  // namespace

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
  shapes_.push_back({key, num_runs_, CudaGraph(nullptr, &NoGraph)});
}

// Only what is idle makes way: to record costs more than to launch, and shapes that take turns
// would have each other recorded again every time.
bool CudaGraphs::MakeRoom() {
  size_t num_graphs = 0;
  Shape* oldest = nullptr;
  for (Shape& shape : shapes_) {
    if (shape.graph == nullptr) continue;
    ++num_graphs;
    if (oldest == nullptr || shape.last_run < oldest->last_run) oldest = &shape;
  }
  if (num_graphs < kMaxGraphs) return true;
  if (num_runs_ - oldest->last_run < kIdleRuns) return false;
  oldest->graph.reset();
  return true;
}

void CudaGraphs::Capture(Shape& shape, absl::FunctionRef<void()> issue) {
  absl::StatusOr<CudaGraph> graph = device_.Capture(issue);
  if (graph.ok()) {
    shape.graph = *std::move(graph);
  } else if (device_.status().ok()) {
    LOG(WARNING) << graph.status().message() << "; kernels are launched one by one from now on";
    refused_ = true;
  }
}

}  // namespace layercake
