#pragma once

// A conversation at the prompt: its history and the slash commands. No I/O.

#include <string>

#include "absl/strings/string_view.h"
#include "layercake/v1/inference.pb.h"

namespace layercake {

class ChatSession {
 public:
  // `request` carries model and options; its messages, if any, open the conversation.
  explicit ChatSession(v1::ChatRequest request) : request_(std::move(request)) {}

  struct Action {
    enum class Kind { kNothing, kSend, kShow, kExit };
    Kind kind = Kind::kNothing;
    std::string text;  // kShow: what to tell the person
  };
  // Takes a line that the person wrote: "/exit", "/reset", "/system TEXT", "/help", or a message;
  // "//" begins a message that starts with a slash. kSend: request() is to be answered.
  Action Take(absl::string_view line);

  const v1::ChatRequest& request() const { return request_; }
  // The answer to the last kSend; may be cut short.
  void Answer(absl::string_view text);
  // The last kSend came to nothing: forgets the message.
  void Forget();

 private:
  void SetSystem(absl::string_view text);

  v1::ChatRequest request_;
};

}  // namespace layercake
