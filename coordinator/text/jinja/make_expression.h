#pragma once

#include <memory>
#include <utility>

#include "coordinator/text/jinja/expression_parser.h"

namespace layercake::jinja {

// A new node of the tree, as the parser's functions return it.
template <typename Node, typename... Args>
ExpressionParser::Parsed Make(Args&&... args) {
  return ExpressionPtr(std::make_unique<const Node>(std::forward<Args>(args)...));
}

}  // namespace layercake::jinja
