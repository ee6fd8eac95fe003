#pragma once

// A model as far as planning needs it: sizes without weights.

#include <string>

#include "absl/status/statusor.h"
#include "common/model/config.h"

namespace layercake {

struct SizedModel {
  std::string name;  // the directory's
  ModelConfig config;
  // A sentence on why the files of a directory are no proof of it; empty: they are.
  std::string note;
};

// Reads `path`, a model directory or its config.json. Where the directory has all its safetensors
// too, dtype and (for what no worker runs yet) bytes are those of their headers; only headers are
// read, and held against config.json. Errors: NotFound (no such file), DataLoss, Unimplemented (as
// ParseModelConfig's).
absl::StatusOr<SizedModel> SizeModel(const std::string& path);

}  // namespace layercake
