#pragma once

// A Jinja template, as chat templates use the language. An own small interpreter, because the
// templates come from model files: it can reach nothing but the values it is given, and its work,
// memory and depth are limited.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "coordinator/text/jinja/ast.h"
#include "coordinator/text/json_fields.h"
#include "coordinator/text/marked_text.h"

namespace layercake::jinja {

// A variable given to a template. If `untrusted`, every text in it is marked so, but for the words
// that name the usual roles (system, user, assistant, tool, developer): templates build control
// tokens from them, and no other meaning can be smuggled in by them.
struct Variable {
  std::string name;
  OrderedJson value;
  bool untrusted = false;
};

// Immutable and thread-safe.
class Template {
 public:
  // Errors: InvalidArgument (ill-formed UTF-8 or syntax; names the line).
  static absl::StatusOr<std::unique_ptr<const Template>> Parse(absl::string_view source);

  // Errors: InvalidArgument, ResourceExhausted; the message names the line.
  absl::StatusOr<MarkedText> Render(const std::vector<Variable>& variables, const Limits& limits,
                                    const Clock* clock) const;

 private:
  explicit Template(Block block) : block_(std::move(block)) {}

  const Block block_;
};

}  // namespace layercake::jinja
