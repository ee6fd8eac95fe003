#include <unistd.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "common/base/status_macros.h"
#include "common/options/options.h"
#include "coordinator/cli/chat_loop.h"
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
  const auto reader = connection.inference().Chat(&context, request);
  const v1::GenerateResponse response = ShowStream(*reader, request.options().n(), std::cout);
  LC_RETURN_IF_ERROR(connection.Explain(reader->Finish()));
  std::cout << FormatLogprobs(response) << std::flush;
  if (flags.stats || IsTerminal(STDERR_FILENO)) std::cerr << FormatStats(response) << std::flush;
  return absl::OkStatus();
}

int ConverseOnTerminal(const CommonFlags& common, const ChatFlags& flags) {
  InterruptWatcher interrupts;
  const Connection connection(common.address);
  std::cout << "Chatting at " << common.address << "; /help lists commands, /exit leaves.\n";
  Converse(connection, ChatSession(flags.request),
           {.in = std::cin, .out = std::cout, .err = std::cerr}, &interrupts, flags.stats);
  return kExitOk;
}

int Chat(const CommonFlags& common, ChatFlags& flags) {
  if (!flags.system.empty()) {
    v1::ChatMessage* message = flags.request.add_messages();
    message->set_role("system");
    message->set_content(flags.system);
  }
  if (!flags.message.empty()) return Report(AskOnce(common, flags, flags.message));
  if (IsTerminal(STDIN_FILENO)) return ConverseOnTerminal(common, flags);
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
