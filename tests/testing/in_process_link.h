#pragma once

// A link between two stages of one process.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "worker/transport/activation_link.h"
#include "worker/transport/activation_queue.h"

namespace layercake {

class InProcessSink : public ActivationSink {
 public:
  // `queue`: the next stage's source; must outlive the sink.
  explicit InProcessSink(ActivationQueue& queue) : queue_(queue) {}

  absl::Status Send(uint64_t step_id, const TensorView& from) override {
    return queue_.Push(step_id, std::string(static_cast<const char*>(from.data),
                                            from.rows * from.cols * sizeof(float)));
  }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Cancel() override { queue_.EndOfStream(absl::UnavailableError("the link was cancelled")); }

 private:
  ActivationQueue& queue_;
};

}  // namespace layercake
