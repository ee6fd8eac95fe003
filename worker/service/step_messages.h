#pragma once

// Steps between stage.proto's messages and the engine's structs.

#include "layercake/v1/stage.pb.h"
#include "worker/engine/step.h"

namespace layercake {

// Spans in the result point into `message`, which must outlive it.
StepRequest ToStepRequest(const v1::Step& message);

// `step`: the one that `output` answers; it says whether log-probabilities were asked for.
v1::StepResult ToMessage(const StepOutput& output, const StepRequest& step);

}  // namespace layercake
