#pragma once

// Regular expressions as tokenizer files write them (Oniguruma, Ruby syntax, UTF-8), run by PCRE2's
// just-in-time compiler. The dialects differ in a few spots, which are rewritten: \s, \h, \w, (?m).

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

class Regex {
 public:
  // Errors: Unimplemented (a construct whose meaning differs between the dialects);
  // DataLoss (PCRE2 does not accept the pattern).
  static absl::StatusOr<Regex> Compile(absl::string_view pattern);
  // A pattern that matches `text` itself.
  static absl::StatusOr<Regex> Literal(absl::string_view text);

  Regex(Regex&&) = default;
  Regex& operator=(Regex&&) = default;

  using Visitor = absl::FunctionRef<void(size_t begin, size_t end, bool is_match)>;
  // Calls `visit` with spans that cover `text` from left to right: matches, which may be empty,
  // and the non-empty stretches between them. Thread-safe.
  // REQUIRES: `text` is valid UTF-8.
  // Errors: ResourceExhausted (backtracking limit).
  absl::Status ForEachSpan(absl::string_view text, Visitor visit) const;

 private:
  struct CodeDeleter {
    void operator()(void* code) const;
  };
  explicit Regex(void* code) : code_(code) {}

  std::unique_ptr<void, CodeDeleter> code_;  // pcre2_code
};

}  // namespace layercake
