#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/text/jinja/context.h"
#include "coordinator/text/jinja/value.h"
#include "coordinator/text/json_fields.h"

namespace layercake::jinja {

// `json` as a value; all its texts, keys too, are untrusted if `untrusted` (but see Variable). A
// number beyond 63 bits becomes a float. Errors: InvalidArgument (nested deeper than kMaxDepth).
absl::StatusOr<Value> FromJson(const OrderedJson& json, bool untrusted, Context& context,
                               int depth = 0);

struct JsonStyle {
  int indent = -1;  // spaces per level; < 0: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ensure_ascii = false;
};

// `value` written as Python's json.dumps does.
// Errors: InvalidArgument (a function, an undefined value, nested too deeply).
absl::StatusOr<MarkedText> ToJson(const Value& value, const JsonStyle& style);

}  // namespace layercake::jinja
