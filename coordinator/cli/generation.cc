#include "coordinator/cli/generation.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/text_table.h"
#include "coordinator/cli/output.h"

namespace layercake {
namespace {

std::string Ending(const v1::Finish& finish) {
  switch (finish.reason()) {
    case v1::STOP_REASON_MAX_TOKENS:
      return "reached the most tokens allowed";
    case v1::STOP_REASON_EOS:
      return "ended by the model";
    case v1::STOP_REASON_STOP_ID:
      return absl::StrCat("ended at token ", finish.stop_id());
    case v1::STOP_REASON_STOP_STRING:
      return absl::StrCat("ended at ", Quote(finish.stop()));
    default:
      return "ended";
  }
}

double Milliseconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6;
}

}  // namespace

v1::GenerateResponse ShowStream(ChunkReader& reader, int num_completions, std::ostream& out) {
  std::map<int, v1::Completion> completions;
  v1::GenerateResponse response;
  v1::GenerateChunk chunk;
  const bool live = num_completions <= 1;
  bool ends_in_newline = true;
  while (reader.Read(&chunk)) {
    v1::Completion& completion = completions[chunk.index()];
    completion.set_index(chunk.index());
    absl::StrAppend(completion.mutable_text(), chunk.text());
    completion.mutable_token_ids()->MergeFrom(chunk.token_ids());
    completion.mutable_logprobs()->MergeFrom(chunk.logprobs());
    if (chunk.has_finish()) *completion.mutable_finish() = chunk.finish();
    if (!chunk.model().empty()) response.set_model(chunk.model());
    if (live && !chunk.text().empty()) {
      out << chunk.text() << std::flush;
      ends_in_newline = chunk.text().back() == '\n';
    }
  }
  if (live && !ends_in_newline) out << std::endl;
  for (auto& [index, completion] : completions) {
    if (!live) out << "--- " << index + 1 << "\n" << completion.text() << std::endl;
    *response.add_completions() = std::move(completion);
  }
  return response;
}

std::string FormatStats(const v1::GenerateResponse& response) {
  std::string out;
  for (const v1::Completion& completion : response.completions()) {
    if (!completion.has_finish()) continue;
    const v1::Finish& finish = completion.finish();
    const v1::Usage& usage = finish.usage();
    const v1::Timings& timings = finish.timings();
    absl::StrAppend(&out, usage.prompt_tokens(), " prompt tokens");
    if (usage.cached_tokens() > 0) absl::StrAppend(&out, " (", usage.cached_tokens(), " cached)");
    if (timings.prompt_tokens_per_second() > 0) {
      absl::StrAppend(&out, " at ", FormatFigure(timings.prompt_tokens_per_second()), " tokens/s");
    }
    absl::StrAppend(&out, ", ", usage.completion_tokens(), " generated");
    if (timings.completion_tokens_per_second() > 0) {
      absl::StrAppend(&out, " at ", FormatFigure(timings.completion_tokens_per_second()),
                      " tokens/s");
    }
    absl::StrAppend(&out, ", the first after ",
                    FormatFigure(Milliseconds(timings.time_to_first_token())), " ms; ",
                    Ending(finish), "\n");
  }
  return out;
}

std::string FormatLogprobs(const v1::GenerateResponse& response) {
  TextTable table({{"completion"},
                   {"id", TextTable::Align::kRight},
                   {"token"},
                   {"logprob", TextTable::Align::kRight},
                   {"likeliest"}});
  bool any = false;
  for (const v1::Completion& completion : response.completions()) {
    for (const v1::Logprobs& logprobs : completion.logprobs()) {
      any = true;
      const auto rival = [](std::string* out, const v1::TokenLogprob& token) {
        absl::StrAppend(out, Quote(token.token()), " ", absl::StrFormat("%.4f", token.logprob()));
      };
      table.AddRow({absl::StrCat(completion.index() + 1),
                    absl::StrCat(logprobs.chosen().token_id()), Quote(logprobs.chosen().token()),
                    absl::StrFormat("%.4f", logprobs.chosen().logprob()),
                    absl::StrJoin(logprobs.top(), "  ", rival)});
    }
  }
  return any ? table.Format() : "";
}

}  // namespace layercake
