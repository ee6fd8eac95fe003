#include "coordinator/text/jinja/error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace layercake::jinja {
namespace {

constexpr absl::string_view kPrefix = "chat template, line ";

}  // namespace

absl::Status ErrorAt(int line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(kPrefix, line, ": ", message));
}

absl::Status WithLine(int line, const absl::Status& status) {
  if (status.ok() || absl::StartsWith(status.message(), kPrefix)) return status;
  return absl::Status(status.code(), absl::StrCat(kPrefix, line, ": ", status.message()));
}

}  // namespace layercake::jinja
