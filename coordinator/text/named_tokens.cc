#include "coordinator/text/named_tokens.h"

#include <filesystem>

#include "common/base/status_macros.h"
#include "coordinator/text/json_fields.h"

namespace layercake {

absl::StatusOr<std::map<std::string, std::string>> ReadNamedTokens(const std::string& model_dir) {
  std::map<std::string, std::string> tokens;
  // The later file counts.
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    const std::string path = (std::filesystem::path(model_dir) / name).string();
    LC_ASSIGN_OR_RETURN(const Json json, ReadOptionalJson(path));
    for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                            "cls_token", "mask_token"}) {
      const Json* token = FindMember(json, key);
      if (token == nullptr) continue;
      const bool plain = token->is_string();
      LC_ASSIGN_OR_RETURN(tokens[key], plain ? RequireString(json, key, path)
                                             : RequireString(*token, "content", path));
    }
  }
  return tokens;
}

}  // namespace layercake
