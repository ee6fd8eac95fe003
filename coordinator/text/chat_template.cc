#include "coordinator/text/chat_template.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/text/jinja/template.h"
#include "coordinator/text/jinja/text_ops.h"
#include "coordinator/text/named_tokens.h"

namespace layercake {
namespace {

constexpr int64_t kMaxFileBytes = 16 << 20;
// Marks where a message to be continued ends; no template writes this noncharacter of Unicode. The
// space tells whether the template trimmed the message.
constexpr absl::string_view kContinueMark = "\xEF\xB7\x90 ";

// Of a list of {"name": ..., "template": ...} the one named "default", else the only one.
absl::StatusOr<std::string> PickNamed(const Json& list, absl::string_view where) {
  std::string names;
  for (const Json& item : list) {
    LC_ASSIGN_OR_RETURN(const std::string name, RequireString(item, "name", where));
    if (name == "default" || list.size() == 1) return RequireString(item, "template", where);
    absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  return absl::FailedPreconditionError(
      absl::StrCat(where, ": of the chat templates ", names, " none is named default"));
}

// The member `chat_template` of a JSON file; empty when there is none.
absl::StatusOr<std::string> TemplateIn(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::string();
  LC_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxFileBytes));
  LC_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path));
  const Json* member = FindMember(json, "chat_template");
  if (member != nullptr && member->is_array()) return PickNamed(*member, path);
  LC_ASSIGN_OR_RETURN(const auto source, OptionalString(json, "chat_template", path));
  return source.value_or("");
}

absl::StatusOr<std::string> FindSource(const std::filesystem::path& directory) {
  const std::string plain = (directory / "chat_template.jinja").string();
  if (std::filesystem::exists(plain)) return ReadTextFile(plain, kMaxFileBytes);
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    LC_ASSIGN_OR_RETURN(std::string source, TemplateIn((directory / name).string()));
    if (!source.empty()) return source;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(directory.string(),
                   " has no chat template (chat_template.jinja, or chat_template in "
                   "tokenizer_config.json): use Generate with a prompt of your own"));
}

// Cuts a rendering where the message to be continued ends.
absl::StatusOr<MarkedText> CutAtMark(const MarkedText& text) {
  const absl::string_view character = kContinueMark.substr(0, kContinueMark.size() - 1);
  const size_t at = absl::string_view(text.text()).rfind(character);
  if (at == absl::string_view::npos) {
    return absl::InvalidArgumentError(
        "continue_final_message: the chat template leaves the last message out");
  }
  const MarkedText cut = text.Substr(0, at);
  const bool trimmed =
      absl::string_view(text.text()).substr(at, kContinueMark.size()) != kContinueMark;
  return trimmed ? jinja::Strip(cut, std::nullopt, jinja::Side::kRight) : cut;
}

}  // namespace

ChatTemplate::ChatTemplate() = default;
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Load(const std::string& model_dir) {
  LC_ASSIGN_OR_RETURN(const std::string source, FindSource(model_dir));
  LC_ASSIGN_OR_RETURN(auto named_tokens, ReadNamedTokens(model_dir));
  return Parse(source, std::move(named_tokens));
}

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(
    absl::string_view source, std::map<std::string, std::string> named_tokens) {
  std::unique_ptr<ChatTemplate> result(new ChatTemplate());
  LC_ASSIGN_OR_RETURN(result->template_, jinja::Template::Parse(source));
  result->named_tokens_ = std::move(named_tokens);
  return result;
}

absl::StatusOr<MarkedText> ChatTemplate::Render(absl::Span<const ChatMessage> messages,
                                                const ChatOptions& options) const {
  if (messages.empty()) return absl::InvalidArgumentError("a chat needs at least one message");
  const bool continued = options.continue_final_message;
  OrderedJson turns = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    turns.push_back({{"role", message.role}, {"content", message.content}});
  }
  if (continued) {
    turns.back()["content"] = absl::StrCat(messages.back().content, kContinueMark);
  }
  std::vector<jinja::Variable> variables = {
      {"tools", nullptr},
      {"documents", nullptr},
      {"add_generation_prompt", options.add_generation_prompt && !continued}};
  for (const auto& [name, token] : named_tokens_) variables.push_back({name, token});
  for (const auto& [name, value] : options.variables.items()) {
    variables.push_back({name, value, /*untrusted=*/true});
  }
  variables.push_back({"messages", std::move(turns), /*untrusted=*/true});
  LC_ASSIGN_OR_RETURN(MarkedText text,
                      template_->Render(variables, jinja::Limits(), options.clock));
  return continued ? CutAtMark(text) : text;
}

absl::StatusOr<std::vector<int32_t>> ChatPrompt(const Tokenizer& tokenizer,
                                                const ChatTemplate& chat_template,
                                                absl::Span<const ChatMessage> messages,
                                                const ChatOptions& options) {
  LC_ASSIGN_OR_RETURN(const MarkedText prompt, chat_template.Render(messages, options));
  EncodeOptions encode_options;
  encode_options.add_special_tokens = false;  // the template writes them itself
  return tokenizer.Encode(prompt, encode_options);
}

}  // namespace layercake
