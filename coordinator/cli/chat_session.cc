#include "coordinator/cli/chat_session.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace layercake {
namespace {

constexpr char kSystemRole[] = "system";

constexpr char kHelp[] =
    "/reset         forget the conversation (the system prompt stays)\n"
    "/system TEXT   set the system prompt and forget the conversation; without TEXT, remove it\n"
    "/exit          leave (so does Ctrl-D); Ctrl-C ends an answer\n"
    "//text         a message that begins with a slash\n";

}  // namespace

ChatSession::Action ChatSession::Take(absl::string_view line) {
  using Kind = Action::Kind;
  line = absl::StripAsciiWhitespace(line);
  if (line.empty()) return {};
  if (line[0] == '/' && line.substr(0, 2) != "//") {
    const size_t end = line.find(' ');
    const absl::string_view command = line.substr(0, end);
    const absl::string_view rest =
        end == absl::string_view::npos ? "" : absl::StripAsciiWhitespace(line.substr(end));
    if (command == "/exit" || command == "/quit") return {.kind = Kind::kExit};
    if (command == "/help") return {.kind = Kind::kShow, .text = kHelp};
    if (command == "/system") {
      SetSystem(rest);
      return {.kind = Kind::kShow,
              .text = rest.empty() ? "no system prompt now\n" : "system prompt set\n"};
    }
    if (command == "/reset") {
      const bool system =
          request_.messages_size() > 0 && request_.messages(0).role() == kSystemRole;
      SetSystem(system ? std::string(request_.messages(0).content()) : "");
      return {.kind = Kind::kShow, .text = "conversation forgotten\n"};
    }
    return {.kind = Kind::kShow, .text = absl::StrCat("no command ", command, "; see /help\n")};
  }
  v1::ChatMessage* message = request_.add_messages();
  message->set_role("user");
  message->set_content(std::string(line[0] == '/' ? line.substr(1) : line));
  return {.kind = Kind::kSend};
}

void ChatSession::Answer(absl::string_view text) {
  v1::ChatMessage* message = request_.add_messages();
  message->set_role("assistant");
  message->set_content(std::string(text));
}

void ChatSession::Forget() { request_.mutable_messages()->RemoveLast(); }

void ChatSession::SetSystem(absl::string_view text) {
  const std::string content(text);
  request_.clear_messages();
  if (content.empty()) return;
  v1::ChatMessage* message = request_.add_messages();
  message->set_role(kSystemRole);
  message->set_content(content);
}

}  // namespace layercake
