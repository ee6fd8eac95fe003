#include "coordinator/cli/chat_loop.h"

#include <optional>
#include <string>

#include "coordinator/cli/generation.h"

namespace layercake {
namespace {

void AnswerTurn(const Connection& connection, ChatSession& session, ChatStreams streams,
                InterruptWatcher* interrupts, bool stats) {
  grpc::ClientContext context;
  v1::GenerateResponse response;
  absl::Status status;
  {
    std::optional<InterruptWatcher::Scope> scope;
    if (interrupts != nullptr) scope.emplace(*interrupts, context);
    const auto reader = connection.inference().Chat(&context, session.request());
    response = ShowStream(*reader, session.request().options().n(), streams.out);
    status = connection.Explain(reader->Finish());
  }
  if (response.completions_size() > 0) {
    session.Answer(response.completions(0).text());
  } else {
    session.Forget();
  }
  if (!status.ok() && !absl::IsCancelled(status)) PrintError(streams.err, status);
  if (stats) streams.err << FormatStats(response) << std::flush;
}

}  // namespace

void Converse(const Connection& connection, ChatSession session, ChatStreams streams,
              InterruptWatcher* interrupts, bool stats) {
  using Kind = ChatSession::Action::Kind;
  std::string line;
  while (streams.out << "> " << std::flush && std::getline(streams.in, line)) {
    const ChatSession::Action action = session.Take(line);
    if (action.kind == Kind::kExit) return;
    if (action.kind == Kind::kShow) streams.out << action.text;
    if (action.kind == Kind::kSend) AnswerTurn(connection, session, streams, interrupts, stats);
  }
  streams.out << std::endl;
}

}  // namespace layercake
