#include "coordinator/text/jinja/template.h"

#include <algorithm>
#include <array>

#include "common/base/status_macros.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/json_values.h"
#include "coordinator/text/jinja/parser.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
namespace {

constexpr std::array<absl::string_view, 5> kKnownRoles = {"system", "user", "assistant", "tool",
                                                          "developer"};

Value MessageValue(const Template::Message& message, Context& context) {
  const bool known =
      std::find(kKnownRoles.begin(), kKnownRoles.end(), message.role) != kKnownRoles.end();
  const std::string role = ToValidUtf8(message.role);
  Dict dict;
  dict.Set("role", Value(known ? MarkedText(role) : MarkedText::Untrusted(role)));
  dict.Set("content", Value(MarkedText::Untrusted(ToValidUtf8(message.content))));
  return context.NewDict(std::move(dict));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Template>> Template::Parse(absl::string_view source) {
  if (!IsValidUtf8(source)) return absl::InvalidArgumentError("chat template: ill-formed UTF-8");
  LC_ASSIGN_OR_RETURN(Block block, ParseTemplate(source));
  return std::unique_ptr<const Template>(new Template(std::move(block)));
}

absl::StatusOr<MarkedText> Template::Render(const std::vector<Variable>& variables,
                                            const std::vector<Message>& messages,
                                            const Limits& limits, const Clock* clock) const {
  Context context(limits, clock);
  SetBuiltinFunctions(context.globals());
  for (const Variable& variable : variables) {
    LC_ASSIGN_OR_RETURN(Value value, FromJson(variable.value, variable.untrusted, context));
    context.globals().Set(variable.name, std::move(value));
  }
  List list;
  for (const Message& message : messages) list.push_back(MessageValue(message, context));
  context.globals().Set("messages", context.NewList(std::move(list)));
  LC_RETURN_IF_ERROR(ExecuteBlock(block_, context).status());
  return context.TakeOutput();
}

}  // namespace layercake::jinja
