#include "coordinator/text/post_processor.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {
namespace {

constexpr int kMaxNesting = 16;
constexpr absl::string_view kTemplate = "post_processor TemplateProcessing";

absl::StatusOr<int32_t> ReadId(const Json& json) {
  const int64_t id = json.is_number_integer() ? json.get<int64_t>() : -1;
  if (id < 0 || id > INT32_MAX) {
    return absl::DataLossError(absl::StrCat("post_processor: '", Describe(json), "' is not an id"));
  }
  return static_cast<int32_t>(id);
}

absl::Status AppendSpecialToken(const Json& json, const std::string& name,
                                std::vector<int32_t>* ids) {
  LC_ASSIGN_OR_RETURN(const Json* tokens, RequireMember(json, "special_tokens", kTemplate));
  LC_ASSIGN_OR_RETURN(const Json* token, RequireMember(*tokens, name, kTemplate));
  LC_ASSIGN_OR_RETURN(const Json* list, RequireMember(*token, "ids", kTemplate));
  if (!list->is_array()) return absl::DataLossError(absl::StrCat(kTemplate, ": 'ids' is no list"));
  for (const Json& item : *list) {
    LC_ASSIGN_OR_RETURN(const int32_t id, ReadId(item));
    ids->push_back(id);
  }
  return absl::OkStatus();
}

absl::StatusOr<PostProcessor> MakeTemplate(const Json& json) {
  LC_ASSIGN_OR_RETURN(const Json* pieces, RequireMember(json, "single", kTemplate));
  if (!pieces->is_array()) {
    return absl::DataLossError(absl::StrCat(kTemplate, ": 'single' is not a list"));
  }
  PostProcessor result;
  int texts = 0;
  for (const Json& piece : *pieces) {
    if (const Json* special = FindMember(piece, "SpecialToken"); special != nullptr) {
      LC_ASSIGN_OR_RETURN(const std::string name, RequireString(*special, "id", kTemplate));
      LC_RETURN_IF_ERROR(
          AppendSpecialToken(json, name, texts == 0 ? &result.prefix : &result.suffix));
      continue;
    }
    LC_ASSIGN_OR_RETURN(const Json* sequence, RequireMember(piece, "Sequence", kTemplate));
    LC_ASSIGN_OR_RETURN(const std::string name, RequireString(*sequence, "id", kTemplate));
    if (name != "A") {
      return absl::DataLossError(absl::StrCat(kTemplate, ": 'single' names sequence ", name));
    }
    ++texts;
  }
  if (texts != 1) {
    return absl::UnimplementedError(
        absl::StrCat(kTemplate, ": 'single' holds the text ", texts, " times, not once"));
  }
  return result;
}

// BertProcessing and RobertaProcessing: {"cls": ["<s>", 0], "sep": ["</s>", 2]}.
absl::StatusOr<int32_t> ReadPairId(const Json& json, absl::string_view name) {
  LC_ASSIGN_OR_RETURN(const Json* pair, RequireMember(json, name, "post_processor"));
  if (!pair->is_array() || pair->size() != 2) {
    return absl::DataLossError(absl::StrCat("post_processor: '", name, "' is not [token, id]"));
  }
  return ReadId((*pair)[1]);
}

absl::StatusOr<PostProcessor> Make(const Json& json, int nesting) {
  if (nesting > kMaxNesting) {
    return absl::DataLossError("post_processor: Sequences are nested too deeply");
  }
  LC_ASSIGN_OR_RETURN(const std::string type, RequireString(json, "type", "post_processor"));
  if (type == "ByteLevel") return PostProcessor();  // moves offsets, which are not kept here
  if (type == "TemplateProcessing") return MakeTemplate(json);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    LC_ASSIGN_OR_RETURN(const int32_t cls, ReadPairId(json, "cls"));
    LC_ASSIGN_OR_RETURN(const int32_t sep, ReadPairId(json, "sep"));
    return PostProcessor{{cls}, {sep}};
  }
  if (type == "Sequence") {
    LC_ASSIGN_OR_RETURN(const Json* list, RequireMember(json, "processors", "post_processor"));
    if (!list->is_array()) return absl::DataLossError("post_processor Sequence: not a list");
    PostProcessor result;
    for (const Json& item : *list) {
      LC_ASSIGN_OR_RETURN(PostProcessor outer, Make(item, nesting + 1));
      outer.prefix.insert(outer.prefix.end(), result.prefix.begin(), result.prefix.end());
      result.suffix.insert(result.suffix.end(), outer.suffix.begin(), outer.suffix.end());
      result.prefix = std::move(outer.prefix);
    }
    return result;
  }
  return absl::UnimplementedError(
      absl::StrCat("post_processor '", type, "' is not supported by this build"));
}

}  // namespace

absl::StatusOr<PostProcessor> MakePostProcessor(const Json& json) {
  if (json.is_null()) return PostProcessor();
  return Make(json, 0);
}

}  // namespace layercake
