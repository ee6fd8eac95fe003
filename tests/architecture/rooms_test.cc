// Checks the house against its plan: which room may include which, who sees gRPC and glog, which
// rooms stay pure, and that each room has its README.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace layercake {
namespace {

namespace fs = std::filesystem;

// What each room may include of ours, besides itself and the generated messages of proto.
const std::map<std::string, std::set<std::string>>& Arrows() {
  static const auto* const arrows = new std::map<std::string, std::set<std::string>>{
      {"common/base", {}},
      {"common/rpc", {"common/base"}},
      {"common/model", {"common/base"}},
      {"common/options", {"common/base", "common/rpc"}},
      {"coordinator/options", {"common/base", "common/options"}},
      {"coordinator/placement", {"common/base", "common/model"}},
      {"coordinator/fleet", {"common/base", "coordinator/placement"}},
      {"coordinator/text", {"common/base"}},
      {"coordinator/kv", {"common/base"}},
      {"coordinator/schedule", {"common/base", "coordinator/kv"}},
      {"coordinator/simulate",
       {"common/base", "common/model", "coordinator/placement", "coordinator/schedule"}},
      {"coordinator/cluster",
       {"common/base", "common/model", "common/rpc", "coordinator/placement", "coordinator/text"}},
      {"coordinator/service",
       {"common/base", "common/model", "common/rpc", "coordinator/cluster", "coordinator/schedule",
        "coordinator/text"}},
      {"coordinator/cli",
       {"common/base", "common/model", "common/options", "common/rpc", "coordinator/fleet",
        "coordinator/options", "coordinator/placement", "coordinator/simulate"}},
      {"coordinator",
       {"common/base", "common/options", "common/rpc", "coordinator/cluster", "coordinator/options",
        "coordinator/service"}},
      {"worker/device", {"common/base", "common/model"}},
      {"worker/kernels", {"common/base", "common/model", "worker/device"}},
      {"worker/model", {"common/base", "common/model", "worker/device", "worker/kernels"}},
      {"worker/engine",
       {"common/base", "common/model", "worker/device", "worker/kernels", "worker/model",
        "worker/transport"}},
      {"worker/transport", {"common/base", "common/rpc", "worker/device", "worker/kernels"}},
      {"worker/profile",
       {"common/base", "common/model", "common/rpc", "worker/device", "worker/engine",
        "worker/kernels"}},
      {"worker/service",
       {"common/base", "common/model", "common/rpc", "worker/device", "worker/engine",
        "worker/model", "worker/profile", "worker/transport"}},
      {"worker",
       {"common/base", "common/options", "common/rpc", "worker/device", "worker/profile",
        "worker/service"}},
  };
  return *arrows;
}

const std::set<std::string> kSeeGrpc = {
    "common/rpc",  "coordinator/cluster", "coordinator/cli", "coordinator/service",
    "coordinator", "worker/transport",    "worker/service",  "worker"};
const std::set<std::string> kPure = {"coordinator/kv", "coordinator/schedule",
                                     "coordinator/placement", "coordinator/simulate"};

struct Include {
  fs::path file;     // relative to the root
  std::string room;  // of the file: "worker/device", or "worker" for main.cc
  std::string path;  // as written
  bool quoted = false;
};

fs::path Root() { return LAYERCAKE_SOURCE_DIR; }

// "coordinator/text" for any depth below it, "coordinator" for coordinator/main.cc.
std::string RoomOf(const fs::path& path) {
  const std::vector<std::string> parts = absl::StrSplit(path.generic_string(), '/');
  return parts.size() > 2 ? absl::StrCat(parts[0], "/", parts[1]) : parts[0];
}

std::vector<Include> AllIncludes() {
  static const std::regex kInclude("^\\s*#\\s*include\\s*([<\"])([^>\"]+)[>\"]");
  std::vector<Include> includes;
  for (const char* top : {"common", "coordinator", "worker"}) {
    for (const auto& entry : fs::recursive_directory_iterator(Root() / top)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc" && extension != ".cu" && extension != ".inc") {
        continue;
      }
      const fs::path file = fs::relative(entry.path(), Root());
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line);) {
        std::smatch match;
        if (!std::regex_search(line, match, kInclude)) continue;
        includes.push_back({file, RoomOf(file), match[2], match[1] == "\""});
      }
    }
  }
  return includes;
}

TEST(RoomsTest, IncludeOnlyTheRoomsTheyMay) {
  const auto includes = AllIncludes();
  ASSERT_GT(includes.size(), 100u);
  for (const Include& include : includes) {
    const auto allowed = Arrows().find(include.room);
    ASSERT_NE(allowed, Arrows().end()) << include.file << ": no such room on the plan";
    if (!include.quoted) continue;
    const std::string to = RoomOf(include.path);
    if (!fs::exists(Root() / include.path) || to == include.room) continue;
    EXPECT_TRUE(allowed->second.contains(to)) << include.file << " includes " << include.path;
  }
}

TEST(RoomsTest, OnlyTheRoomsAtTheEdgeSeeGrpc) {
  for (const Include& include : AllIncludes()) {
    if (!absl::StartsWith(include.path, "grpc") && !absl::EndsWith(include.path, ".grpc.pb.h")) {
      continue;
    }
    EXPECT_TRUE(kSeeGrpc.contains(include.room)) << include.file << " includes " << include.path;
  }
}

TEST(RoomsTest, OnlyLoggingHeaderIncludesGlog) {
  for (const Include& include : AllIncludes()) {
    if (!absl::StartsWith(include.path, "glog/")) continue;
    EXPECT_EQ(include.file.generic_string(), "common/base/logging.h");
  }
}

TEST(RoomsTest, PureRoomsHaveNoClockThreadsOrFiles) {
  static const std::set<std::string> kImpure = {"thread",
                                                "mutex",
                                                "fstream",
                                                "iostream",
                                                "filesystem",
                                                "chrono",
                                                "common/base/clock.h",
                                                "absl/time/clock.h",
                                                "unistd.h",
                                                "atomic",
                                                "common/base/mutex.h"};
  for (const Include& include : AllIncludes()) {
    if (!kPure.contains(include.room)) continue;
    EXPECT_FALSE(kImpure.contains(include.path)) << include.file << " includes " << include.path;
  }
}

TEST(RoomsTest, EveryRoomHasAShortReadme) {
  std::set<std::string> rooms;
  for (const Include& include : AllIncludes()) {
    if (absl::StrContains(include.room, '/')) rooms.insert(include.room);
  }
  for (const std::string& room : rooms) {
    std::ifstream readme(Root() / room / "README.md");
    ASSERT_TRUE(readme.good()) << room << " has no README.md";
    const auto lines = std::count(std::istreambuf_iterator<char>(readme), {}, '\n');
    EXPECT_LE(lines, 40) << room << "/README.md";
  }
}

}  // namespace
}  // namespace layercake
