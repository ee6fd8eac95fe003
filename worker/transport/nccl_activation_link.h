#pragma once

// The ends of a link over NCCL: from one GPU's memory to another's.

#include <memory>

#include "worker/transport/activation_link.h"
#include "worker/transport/nccl_pair.h"

namespace layercake {

// A pair carries the steps of its epoch in order and nothing else; the peer's step ids are not
// sent, since both ends get the same steps from the coordinator.
class NcclActivationSink : public ActivationSink {
 public:
  // `pair` is connected as rank 0 with `device`, which must outlive the sink.
  NcclActivationSink(std::shared_ptr<NcclPair> pair, Device& device)
      : pair_(std::move(pair)), device_(device) {}

  absl::Status Send(uint64_t step_id, const TensorView& from) override;
  absl::Status Finish() override;
  void Cancel() override;

 private:
  const std::shared_ptr<NcclPair> pair_;
  Device& device_;
};

class NcclActivationSource : public ActivationSource {
 public:
  // As the sink's, with rank 1.
  NcclActivationSource(std::shared_ptr<NcclPair> pair, Device& device)
      : pair_(std::move(pair)), device_(device) {}

  // Returns when the activations are there, so that waiting is not taken for computing.
  absl::Status Receive(uint64_t step_id, const TensorView& to) override;
  void Close(const absl::Status& why) override;

 private:
  const std::shared_ptr<NcclPair> pair_;
  Device& device_;
};

}  // namespace layercake
