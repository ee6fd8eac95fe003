#include "common/model/model_size.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/model/checkpoint.h"
#include "common/model/mapped_file.h"

namespace layercake {
namespace {

// Where the tensors of a model that workers run are not those that config.json calls for.
std::string Contradiction(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  if (!CheckRunnable(config).ok()) return "";
  std::string how(checkpoint.Validate().message());
  if (how.empty() &&
      checkpoint.Has(absl::StrCat("model.layers.", config.num_layers, ".input_layernorm.weight"))) {
    how = absl::StrCat(checkpoint.directory(), ": there are more layers than config.json's ",
                       config.num_layers);
  }
  if (how.empty()) return "";
  return absl::StrCat("Sized from config.json, against which the tensors speak: ", how, ".");
}

}  // namespace

absl::StatusOr<SizedModel> SizeModel(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const bool is_directory = fs::is_directory(path, error);
  const fs::path file = is_directory ? fs::path(path) / "config.json" : fs::path(path);
  if (!fs::exists(file, error)) {
    return absl::NotFoundError(absl::StrCat(
        "there is no ", file.string(), "; --model names a model directory or its config.json"));
  }
  const fs::path absolute = fs::absolute(file, error).lexically_normal();
  SizedModel model;
  model.name = file.filename() == "config.json" ? absolute.parent_path().filename().string()
                                                : file.stem().string();
  LC_ASSIGN_OR_RETURN(const auto mapped, MappedFile::Open(file.string()));
  auto config = ParseModelConfig(mapped->bytes());
  if (!config.ok()) {
    return absl::Status(config.status().code(),
                        absl::StrCat(file.string(), ": ", config.status().message()));
  }
  model.config = *std::move(config);
  if (!is_directory) return model;
  const auto checkpoint = Checkpoint::Open(path);
  if (checkpoint.ok()) {
    model.config = (*checkpoint)->config();
    model.note = Contradiction(**checkpoint);
  } else if (absl::IsDataLoss(checkpoint.status())) {
    return checkpoint.status();
  } else {
    model.note = absl::StrCat(
        "Sized from config.json alone: ", std::string(checkpoint.status().message()), ".");
  }
  return model;
}

}  // namespace layercake
