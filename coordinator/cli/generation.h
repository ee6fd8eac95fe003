#pragma once

// Shows a generation as it comes, and how it went.

#include <grpcpp/support/sync_stream.h>

#include <ostream>
#include <string>

#include "layercake/v1/inference.pb.h"

namespace layercake {

using ChunkReader = grpc::ClientReaderInterface<v1::GenerateChunk>;

// Reads `reader` to its end. The text of a single completion goes to `out` piece by piece; of
// several
// (`num_completions` > 1), each under a heading when all have ended. Returns them all; whether they
// are whole is for reader.Finish() to say.
v1::GenerateResponse ShowStream(ChunkReader& reader, int num_completions, std::ostream& out);

// "12 prompt tokens (4 cached) at 210 tokens/s, 64 generated at 53.2 tokens/s, first after 57 ms;
// ended at max_tokens": one line per completion, without tokens a completion has none.
std::string FormatStats(const v1::GenerateResponse& response);

// A row per token: its text, log-probability and rivals. "" when none were asked for.
std::string FormatLogprobs(const v1::GenerateResponse& response);

}  // namespace layercake
