#pragma once

// From a conversation to the prompt a model was trained on, by the model's own chat template.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/marked_text.h"
#include "coordinator/text/tokenizer.h"

namespace layercake {

namespace jinja {
class Template;
}

struct ChatMessage {
  std::string role;
  std::string content;
};

struct ChatOptions {
  // Ends the prompt where the assistant's answer begins.
  bool add_generation_prompt = true;
  // Ends the prompt inside the last message, to be continued; overrides add_generation_prompt.
  bool continue_final_message = false;
  // Further variables for the template ("tools", "enable_thinking", ...); an object.
  OrderedJson variables = OrderedJson::object();
  // What strftime_now() reads.
  const Clock* clock = Clock::Real();
};

// Immutable and thread-safe.
class ChatTemplate {
 public:
  // Reads the template of a model directory: chat_template.jinja, else `chat_template` of
  // tokenizer_config.json (of several named ones, "default"), else of chat_template.json.
  // Errors: FailedPrecondition (the directory has none); InvalidArgument (it cannot be parsed;
  // names the line); DataLoss (a file is malformed).
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Load(const std::string& model_dir);
  // `named_tokens` are the template's variables bos_token, eos_token and so on.
  // Errors: InvalidArgument (cannot be parsed; names the line).
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(
      absl::string_view source, std::map<std::string, std::string> named_tokens);

  ~ChatTemplate();

  // The prompt's text. All that came in messages and variables is marked untrusted in it, except
  // roles that every template knows (system, user, assistant, tool, developer).
  // Errors: InvalidArgument (no messages, or the template refuses the conversation in its own
  // words, or fails; names the line); ResourceExhausted (it runs or writes too much).
  absl::StatusOr<MarkedText> Render(absl::Span<const ChatMessage> messages,
                                    const ChatOptions& options = {}) const;

 private:
  ChatTemplate();

  std::unique_ptr<const jinja::Template> template_;
  std::map<std::string, std::string> named_tokens_;
};

// The ids of the prompt for a conversation. Control tokens come from the template alone: what
// messages say is plain text, even "<|im_end|>".
// Errors: those of ChatTemplate::Render and Tokenizer::Encode.
absl::StatusOr<std::vector<int32_t>> ChatPrompt(const Tokenizer& tokenizer,
                                                const ChatTemplate& chat_template,
                                                absl::Span<const ChatMessage> messages,
                                                const ChatOptions& options = {});

}  // namespace layercake
