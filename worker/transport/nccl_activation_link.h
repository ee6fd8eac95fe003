#pragma once

// The ends of a link over NCCL: from one GPU's memory to another's.

#include <memory>

#include "worker/transport/activation_link.h"
#include "worker/transport/nccl_pair.h"

namespace layercake {

// How both ends have agreed to pass numbers on.
struct NcclLink {
  std::shared_ptr<NcclPair> pair;  // connected; shared with whoever may abort it
  DType dtype = DType::kF32;       // others are converted on the device, by way of a slot
};

// A link carries the steps of its epoch in order and nothing else; the peer's step ids are not
// sent, since both ends get the same steps from the coordinator.
class NcclActivationSink : public ActivationSink {
 public:
  // The link's pair has rank 0. `slots`: of `device`, with room for any step's numbers of the
  // link's type; both must outlive the sink.
  NcclActivationSink(NcclLink link, const ActivationSlots& slots, Device& device)
      : link_(std::move(link)), slots_(slots), device_(device) {}

  absl::Status Send(uint64_t step_id, const TensorView& from) override;
  absl::Status Finish() override;
  void Cancel() override;

 private:
  const NcclLink link_;
  const ActivationSlots& slots_;
  Device& device_;
};

class NcclActivationSource : public ActivationSource {
 public:
  // As the sink's, with rank 1.
  NcclActivationSource(NcclLink link, const ActivationSlots& slots, Device& device)
      : link_(std::move(link)), slots_(slots), device_(device) {}

  // Returns when the activations are there, so that waiting is not taken for computing.
  absl::Status Receive(uint64_t step_id, const TensorView& to) override;
  void Close(const absl::Status& why) override;

 private:
  const NcclLink link_;
  const ActivationSlots& slots_;
  Device& device_;
};

}  // namespace layercake
