#pragma once

// Who is told of the replicas that serve: the generation loop.

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "coordinator/cluster/pipeline.h"
#include "coordinator/cluster/served_model.h"
#include "layercake/v1/types.pb.h"

namespace layercake {

// What the controller tells of a replica's life; the epoch is its name. Called from the
// controller's thread, in turn.
class ServingListener {
 public:
  virtual ~ServingListener() = default;
  // Steps of `epoch` may go to `pipeline` until OnStopped returns. All replicas that are ready at a
  // time serve the same model. It is shared: requests hold it until they have ended, which may be
  // after the next model was loaded.
  //   plan: of this replica alone.
  virtual void OnReady(uint64_t epoch, std::shared_ptr<const ServedModel> model,
                       const v1::Plan& plan, StepSink& pipeline) = 0;
  // From gRPC's threads, in step order. An error breaks the pipeline: a worker answered nonsense.
  virtual absl::Status OnResult(uint64_t epoch, const v1::StepResult& result) = 0;
  // The epoch is over; its requests cannot go on, those of others do. `reason` is Unavailable.
  virtual void OnStopped(uint64_t epoch, const absl::Status& reason) = 0;
  virtual bool IsIdle() const = 0;  // no request running or waiting, on any replica
};

}  // namespace layercake
