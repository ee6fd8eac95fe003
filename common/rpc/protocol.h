#pragma once

// What two programs of one cluster must agree on.

namespace layercake {

// Raised whenever cluster.proto or stage.proto change their meaning.
inline constexpr int kProtocolVersion = 3;
inline constexpr char kVersion[] = "0.1.0";

}  // namespace layercake
