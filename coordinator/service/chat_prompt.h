#pragma once

// The prompt of a Chat call.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/cluster/served_model.h"
#include "layercake/v1/inference.pb.h"

namespace layercake {

// Errors: InvalidArgument (no messages, a message without role, or the template refuses them);
// FailedPrecondition (the model has no tokenizer or no chat template that can be used: says why).
absl::StatusOr<std::vector<int32_t>> MakeChatPrompt(const v1::ChatRequest& request,
                                                    const ServedModel& model);

}  // namespace layercake
