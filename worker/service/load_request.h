#pragma once

// What a LoadStageRequest asks for, in the engine's terms.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "layercake/v1/stage.pb.h"
#include "worker/engine/stage_executor.h"

namespace layercake {

// Errors: InvalidArgument (figures that make no sense for this model, no next stage to send to).
absl::StatusOr<StageShape> ReadLoadRequest(const v1::LoadStageRequest& request,
                                           const ModelConfig& config);

// "layers 0-11 with the embedding".
std::string DescribeStage(const StageShape& shape);

}  // namespace layercake
