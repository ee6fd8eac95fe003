#include "coordinator/service/chat_prompt.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/status.h"

namespace layercake {

absl::StatusOr<std::vector<int32_t>> MakeChatPrompt(const v1::ChatRequest& request,
                                                    const ServedModel& model) {
  LC_RETURN_IF_ERROR(model.chat_template.status());
  std::vector<ChatMessage> messages;
  for (const v1::ChatMessage& message : request.messages()) {
    if (message.role().empty()) {
      const std::string field = absl::StrCat("messages[", messages.size(), "].role");
      return WithField(absl::InvalidArgumentError(absl::StrCat(field, " is empty")), field,
                       "must name who speaks: system, user or assistant");
    }
    messages.push_back({message.role(), message.content()});
  }
  if (messages.empty()) {
    return WithField(absl::InvalidArgumentError("messages is empty: say something"), "messages",
                     "must hold at least one message");
  }
  ChatOptions options;
  options.continue_final_message = request.continue_final_message();
  return ChatPrompt(*model.tokenizer, **model.chat_template, messages, options);
}

}  // namespace layercake
