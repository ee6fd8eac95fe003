#pragma once

// What a CUDA device does time and again, launched as one.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "worker/device/cuda_device.h"

namespace layercake {

// To launch a kernel takes the host some microseconds, and a step of a stage is hundreds of them.
// One thread's at a time: the one that issues the device's work.
class CudaGraphs {
 public:
  // Fewer where they would take more than GraphBytes (common/model/costs.h) of what plans may count
  // on, as the free memory tells.
  static constexpr size_t kMaxGraphs = 32;
  // One that was not launched in so many runs may give way to another.
  static constexpr int64_t kIdleRuns = 256;
  // Others may take memory while a graph is made: so often one that took too much is made again.
  static constexpr int kSecondTries = 3;

  // `device` must outlive it.
  explicit CudaGraphs(CudaDevice& device);

  // Has the device do what `issue` issues: at a key's first run by calling it, at the second by
  // recording it, which then pays, and from then on by launching what was recorded. Where CUDA
  // refuses to record, or there are enough graphs, it is called. What fails is in the device's
  // status().
  // REQUIRES: `issue` only launches kernels, and the key fixes all of their grids and arguments.
  void Run(uint64_t key, absl::FunctionRef<void()> issue);

  // Forgets every key: what was recorded is about memory that is not there any more.
  void Clear();

 private:
  struct Shape {
    uint64_t key;
    int64_t last_run;
    CudaGraph graph;  // null: not recorded
  };

  Shape* Find(uint64_t key);
  void Remember(uint64_t key);
  size_t NumGraphs() const;
  bool MakeRoom();
  void Release(CudaGraph& graph);
  void Capture(Shape& shape, absl::FunctionRef<void()> issue);

  CudaDevice& device_;
  const int64_t max_bytes_;
  size_t max_graphs_ = kMaxGraphs;
  int second_tries_ = 0;
  int64_t bytes_ = 0;  // that graphs have taken, by what was free before and after
  std::vector<Shape> shapes_;
  int64_t num_runs_ = 0;
  bool refused_ = false;
};

}  // namespace layercake
