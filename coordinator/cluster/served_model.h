#pragma once

// What the coordinator keeps of a model while it is served: all but the weights.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/model/checkpoint.h"
#include "coordinator/text/chat_template.h"
#include "coordinator/text/tokenizer.h"

namespace layercake {

// Immutable, thread-safe.
struct ServedModel {
  // Reads `model_dir`; `name` empty: the directory's own. The checkpoint is validated whole.
  // Errors: what Checkpoint::Open and Tokenizer::Load return. A directory without tokenizer.json is
  // served for token ids alone, one without chat template without Chat.
  static absl::StatusOr<std::shared_ptr<const ServedModel>> Open(const std::string& model_dir,
                                                                 const std::string& name);

  std::string name;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Tokenizer> tokenizer;  // null: no tokenizer.json
  // FailedPrecondition, with the reason, where there is none that can be used.
  absl::StatusOr<std::unique_ptr<ChatTemplate>> chat_template;
};

}  // namespace layercake
