// Tokenizer's creation from files.

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/added_tokens.h"
#include "coordinator/text/bpe.h"
#include "coordinator/text/named_tokens.h"
#include "coordinator/text/normalizer.h"
#include "coordinator/text/pre_tokenizer.h"
#include "coordinator/text/tokenizer.h"

namespace layercake {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

const Json& MemberOrNull(const Json& object, absl::string_view name) {
  static const Json null;
  const Json* member = FindMember(object, name);
  return member == nullptr ? null : *member;
}

// Prefixes an error with the file it is about.
absl::Status InFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status CheckIds(const std::vector<int32_t>& ids, int32_t vocab_size) {
  for (const int32_t id : ids) {
    if (id >= vocab_size) {
      return absl::DataLossError(
          absl::StrCat("post_processor: id ", id, " is outside the vocabulary of ", vocab_size));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(absl::string_view json) {
  LC_ASSIGN_OR_RETURN(const Json parsed, ParseJson(json, "tokenizer.json"));
  return Create(parsed);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(const Json& json) {
  LC_ASSIGN_OR_RETURN(const auto version, OptionalString(json, "version", "tokenizer"));
  if (version.has_value() && *version != "1.0") {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer version '", *version, "' is not supported; 1.0 is"));
  }
  std::unique_ptr<Tokenizer> result(new Tokenizer());
  LC_ASSIGN_OR_RETURN(const Json* model, RequireMember(json, "model", "tokenizer"));
  LC_ASSIGN_OR_RETURN(result->model_, BpeModel::Create(*model));
  LC_ASSIGN_OR_RETURN(result->normalizer_, MakeNormalizer(MemberOrNull(json, "normalizer")));
  LC_ASSIGN_OR_RETURN(result->pre_tokenizer_,
                      MakePreTokenizer(MemberOrNull(json, "pre_tokenizer")));
  LC_ASSIGN_OR_RETURN(result->added_tokens_,
                      AddedTokens::Create(MemberOrNull(json, "added_tokens"), *result->model_,
                                          *result->normalizer_));
  LC_ASSIGN_OR_RETURN(result->post_processor_,
                      MakePostProcessor(MemberOrNull(json, "post_processor")));
  LC_RETURN_IF_ERROR(CheckIds(result->post_processor_.prefix, result->vocab_size()));
  LC_RETURN_IF_ERROR(CheckIds(result->post_processor_.suffix, result->vocab_size()));
  LC_ASSIGN_OR_RETURN(result->decoder_, PieceDecoder::Create(MemberOrNull(json, "decoder")));
  return result;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const bool is_directory = fs::is_directory(path, ignored);
  const std::string file = is_directory ? (fs::path(path) / "tokenizer.json").string() : path;
  if (is_directory && !fs::exists(file, ignored)) {
    const bool has_sentencepiece = fs::exists(fs::path(path) / "tokenizer.model", ignored);
    if (has_sentencepiece) {
      return absl::UnimplementedError(absl::StrCat(
          path,
          " holds a tokenizer.model, which this build cannot read, and no tokenizer.json; "
          "save it once with Hugging Face's fast tokenizer to get one"));
    }
    return absl::NotFoundError(absl::StrCat(path, " holds no tokenizer.json"));
  }
  LC_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, kMaxFileBytes));
  LC_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
  auto tokenizer = Create(json);
  if (!tokenizer.ok()) return InFile(file, tokenizer.status());
  if (is_directory) LC_RETURN_IF_ERROR((*tokenizer)->ReadCompanions(path));
  return tokenizer;
}

absl::Status Tokenizer::ReadCompanions(const std::string& directory) {
  const auto path = [&](const char* name) {
    return (std::filesystem::path(directory) / name).string();
  };
  LC_ASSIGN_OR_RETURN(named_tokens_, ReadNamedTokens(directory));
  const auto id_of = [&](const char* name) -> std::optional<int32_t> {
    const auto it = named_tokens_.find(name);
    return it == named_tokens_.end() ? std::nullopt : TokenToId(it->second);
  };
  bos_id_ = id_of("bos_token");
  if (const auto eos = id_of("eos_token"); eos.has_value()) eos_ids_.push_back(*eos);
  LC_ASSIGN_OR_RETURN(const Json generation, ReadOptionalJson(path("generation_config.json")));
  if (FindMember(generation, "eos_token_id") != nullptr) {
    LC_RETURN_IF_ERROR(ReadEosIds(generation, path("generation_config.json")));
  } else {
    LC_ASSIGN_OR_RETURN(const Json config, ReadOptionalJson(path("config.json")));
    LC_RETURN_IF_ERROR(ReadEosIds(config, path("config.json")));
  }
  std::sort(eos_ids_.begin(), eos_ids_.end());
  eos_ids_.erase(std::unique(eos_ids_.begin(), eos_ids_.end()), eos_ids_.end());
  return absl::OkStatus();
}

absl::Status Tokenizer::ReadEosIds(const Json& json, absl::string_view where) {
  const Json* ids = FindMember(json, "eos_token_id");
  if (ids == nullptr) return absl::OkStatus();
  const size_t count = ids->is_array() ? ids->size() : 1;
  for (size_t i = 0; i < count; ++i) {
    const Json& id = ids->is_array() ? (*ids)[i] : *ids;
    const int64_t value = id.is_number_integer() ? id.get<int64_t>() : -1;
    if (value < 0 || value > INT32_MAX) {
      return absl::DataLossError(
          absl::StrCat(where, ": eos_token_id ", Describe(id), " is not a token id"));
    }
    eos_ids_.push_back(static_cast<int32_t>(value));
  }
  return absl::OkStatus();
}

}  // namespace layercake
