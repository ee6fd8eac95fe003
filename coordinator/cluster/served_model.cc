#include "coordinator/cluster/served_model.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {

absl::StatusOr<std::shared_ptr<const ServedModel>> ServedModel::Open(const std::string& model_dir,
                                                                     const std::string& name) {
  auto model = std::make_shared<ServedModel>();
  LC_ASSIGN_OR_RETURN(model->checkpoint, Checkpoint::Open(model_dir));
  LC_RETURN_IF_ERROR(model->checkpoint->Validate());
  const std::filesystem::path path =
      std::filesystem::path(model_dir).lexically_normal() / std::filesystem::path();
  model->name = name.empty() ? path.parent_path().filename().string() : name;
  if (std::error_code error; std::filesystem::exists(path / "tokenizer.json", error)) {
    LC_ASSIGN_OR_RETURN(model->tokenizer, Tokenizer::Load(model_dir));
    model->chat_template = ChatTemplate::Load(model_dir);
  } else {
    model->chat_template = absl::FailedPreconditionError("there is no tokenizer.json");
  }
  if (const absl::Status status = model->chat_template.status(); !status.ok()) {
    // A model without chat is still one that generates.
    model->chat_template = absl::FailedPreconditionError(
        absl::StrCat(model->name, " cannot chat (", status.message(), "); use Generate"));
  }
  return std::shared_ptr<const ServedModel>(std::move(model));
}

}  // namespace layercake
