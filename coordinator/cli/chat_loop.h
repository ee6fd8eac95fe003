#pragma once

// A conversation line by line: reads the person's lines, streams the model's answers.

#include <istream>
#include <ostream>

#include "coordinator/cli/chat_session.h"
#include "coordinator/cli/connection.h"
#include "coordinator/cli/interrupt.h"

namespace layercake {

struct ChatStreams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

// Converses until /exit or the end of `in`. An error ends an answer, not the conversation; what
// came of the answer stays in the history, and a message that got none is forgotten.
//   interrupts: ends an answer when SIGINT comes; nullptr: nothing does.
//   stats: say on `err` how fast each answer went.
void Converse(const Connection& connection, ChatSession session, ChatStreams streams,
              InterruptWatcher* interrupts, bool stats);

}  // namespace layercake
