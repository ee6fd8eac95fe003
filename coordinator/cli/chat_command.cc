#include <unistd.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "common/base/status_macros.h"
#include "common/options/options.h"
#include "coordinator/cli/chat_session.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/generation.h"
#include "coordinator/cli/generation_flags.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/output.h"

namespace layercake {
namespace {

struct ChatFlags {
  std::string message;
  std::string system;
  bool stats = false;
  v1::ChatRequest request;
};

struct Turn {
  v1::GenerateResponse response;
  absl::Status status;
};

Turn Ask(const Connection& connection, const v1::ChatRequest& request,
         grpc::ClientContext& context) {
  const auto reader = connection.inference().Chat(&context, request);
  Turn turn{.response = ShowStream(*reader, request.options().n(), std::cout)};
  turn.status = connection.Explain(reader->Finish());
  return turn;
}

absl::Status AskOnce(const CommonFlags& common, const ChatFlags& flags, std::string text) {
  v1::ChatRequest request = flags.request;
  v1::ChatMessage* message = request.add_messages();
  message->set_role("user");
  message->set_content(std::move(text));
  const Connection connection(common.address);
  grpc::ClientContext context;
  if (common.json) {
    v1::GenerateResponse response;
    LC_RETURN_IF_ERROR(
        connection.Explain(connection.inference().ChatUnary(&context, request, &response)));
    std::cout << ToJson(response) << std::flush;
    return absl::OkStatus();
  }
  const Turn turn = Ask(connection, request, context);
  LC_RETURN_IF_ERROR(turn.status);
  std::cout << FormatLogprobs(turn.response) << std::flush;
  if (flags.stats || IsTerminal(STDERR_FILENO)) {
    std::cerr << FormatStats(turn.response) << std::flush;
  }
  return absl::OkStatus();
}

int Converse(const CommonFlags& common, const ChatFlags& flags) {
  InterruptWatcher interrupts;
  const Connection connection(common.address);
  ChatSession session(flags.request);
  std::cout << "Chatting at " << common.address << "; /help lists commands, /exit leaves.\n";
  std::string line;
  while (std::cout << "> " << std::flush && std::getline(std::cin, line)) {
    const ChatSession::Action action = session.Take(line);
    if (action.kind == ChatSession::Action::Kind::kExit) return kExitOk;
    if (action.kind == ChatSession::Action::Kind::kShow) std::cout << action.text;
    if (action.kind != ChatSession::Action::Kind::kSend) continue;
    grpc::ClientContext context;
    Turn turn;
    {
      const InterruptWatcher::Scope scope(interrupts, context);
      turn = Ask(connection, session.request(), context);
    }
    const bool answered = turn.response.completions_size() > 0;
    if (answered) {
      session.Answer(turn.response.completions(0).text());
    } else {
      session.Forget();
    }
    if (!turn.status.ok() && !absl::IsCancelled(turn.status)) PrintError(std::cerr, turn.status);
    if (flags.stats) std::cerr << FormatStats(turn.response);
  }
  std::cout << std::endl;
  return kExitOk;
}

int Chat(const CommonFlags& common, ChatFlags& flags) {
  if (!flags.system.empty()) {
    v1::ChatMessage* message = flags.request.add_messages();
    message->set_role("system");
    message->set_content(flags.system);
  }
  if (!flags.message.empty()) return Report(AskOnce(common, flags, flags.message));
  if (IsTerminal(STDIN_FILENO)) return Converse(common, flags);
  const std::string text((std::istreambuf_iterator<char>(std::cin)),
                         std::istreambuf_iterator<char>());
  return Report(AskOnce(common, flags, std::string(absl::StripAsciiWhitespace(text))));
}

}  // namespace

Command AddChatCommand(CLI::App& app, const CommonFlags& common) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* chat =
      app.add_subcommand("chat", "Talk to the model; with a message or piped input, one answer");
  chat->add_option("message", flags->message, "one message to answer, instead of a conversation");
  chat->add_option("--system", flags->system, "the system prompt")->type_name("TEXT");
  chat->add_option("--model", *flags->request.mutable_model(),
                   "name of the model (default: the one loaded)");
  chat->add_flag("--stats", flags->stats, "say on stderr how fast each answer went");
  AddGenerationFlags(*chat, flags->request.mutable_options());
  return {.app = chat, .run = [flags, &common] { return Chat(common, *flags); }};
}

}  // namespace layercake
