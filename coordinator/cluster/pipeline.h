#pragma once

// The coordinator's side of one epoch's stages: steps go out to all of them, results come back
// from the last.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "layercake/v1/stage.pb.h"

namespace layercake {

// What one stage has done since the pipeline opened.
struct StageStats {
  uint64_t steps = 0;
  uint64_t waiting = 0;    // steps submitted, and not done
  absl::Duration compute;  // time in kernels
};

// Where steps go. The generation loop sees only this, so that its tests can script a pipeline.
class StepSink {
 public:
  virtual ~StepSink() = default;
  // Queues `step` for every stage; never blocks. Steps run in the order submitted.
  virtual void Submit(const v1::Step& step) = 0;
};

// One open Execute stream per stage. Thread-safe. Callbacks come from gRPC's threads: results in
// step order; `on_broken` at most once, and no result after it. Neither may destroy the pipeline.
class Pipeline : public StepSink {
 public:
  struct Stage {
    std::string worker;
    std::string address;
  };
  struct Callbacks {
    std::function<void(const v1::StepResult&)> on_result;
    // Unavailable or what the stage said, naming the worker.
    std::function<void(const absl::Status&)> on_broken;
  };

  // Streams open lazily: a stage that is not there breaks the pipeline rather than Open.
  static std::unique_ptr<Pipeline> Open(const std::vector<Stage>& stages, Callbacks callbacks);
  // Closes the streams without `on_broken`, and waits until no callback runs any more.
  ~Pipeline() override = default;

  virtual std::vector<StageStats> stats() const = 0;
};

}  // namespace layercake
