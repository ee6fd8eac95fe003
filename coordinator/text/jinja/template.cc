#include "coordinator/text/jinja/template.h"

#include <utility>

#include "common/base/status_macros.h"
#include "coordinator/text/jinja/builtins.h"
#include "coordinator/text/jinja/json_values.h"
#include "coordinator/text/jinja/parser.h"
#include "coordinator/text/utf8.h"

namespace layercake::jinja {
absl::StatusOr<std::unique_ptr<const Template>> Template::Parse(absl::string_view source) {
  if (!IsValidUtf8(source)) return absl::InvalidArgumentError("chat template: ill-formed UTF-8");
  LC_ASSIGN_OR_RETURN(Block block, ParseTemplate(source));
  return std::unique_ptr<const Template>(new Template(std::move(block)));
}

absl::StatusOr<MarkedText> Template::Render(const std::vector<Variable>& variables,
                                            const Limits& limits, const Clock* clock) const {
  Context context(limits, clock);
  SetBuiltinFunctions(context.globals());
  for (const Variable& variable : variables) {
    LC_ASSIGN_OR_RETURN(Value value, FromJson(variable.value, variable.untrusted, context));
    context.globals().Set(variable.name, std::move(value));
  }
  LC_RETURN_IF_ERROR(ExecuteBlock(block_, context).status());
  return context.TakeOutput();
}

}  // namespace layercake::jinja
