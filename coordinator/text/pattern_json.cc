#include "coordinator/text/pattern_json.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace layercake {

absl::StatusOr<Regex> ReadPattern(const Json& json, absl::string_view where) {
  LC_ASSIGN_OR_RETURN(const Json* pattern, RequireMember(json, "pattern", where));
  if (FindMember(*pattern, "Regex") != nullptr) {
    LC_ASSIGN_OR_RETURN(const std::string regex, RequireString(*pattern, "Regex", where));
    return Regex::Compile(regex);
  }
  LC_ASSIGN_OR_RETURN(const std::string literal,
                      RequireString(*pattern, "String", absl::StrCat(where, ", pattern")));
  return Regex::Literal(literal);
}

}  // namespace layercake
