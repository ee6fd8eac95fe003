#pragma once

// The families of models that config.json may describe. For this room's sources only.

#include <string>

#include "absl/status/statusor.h"
#include "common/model/config.h"
#include "common/model/json_object.h"

namespace layercake {

struct Family {
  const char* model_type;
  const char* class_name;  // in config.json's "architectures"
  bool runnable;           // a worker's forward pass computes it
  // Sets dimensions and what else tells a layer of this family from others'.
  void (*read)(FieldReader& fields, ModelConfig& config);
};

// model_type of those that are runnable, as in "llama, qwen2".
std::string RunnableFamilies();

// The family that model_type, or without it the first of "architectures", names.
// Errors: DataLoss; Unimplemented (unknown: names it and lists what is known).
absl::StatusOr<const Family*> FindFamily(FieldReader& fields);

}  // namespace layercake
