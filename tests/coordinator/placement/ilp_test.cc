// Holds the search against another solver of another formulation: GLPK's branch and cut on an
// integer program. Skipped, visibly, where there is no glpsol (Debian's glpk-utils).

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/placement/search_cases.h"

namespace layercake {
namespace {

// The variables: x_d_f_e is 1 for a stage of layers [f, e) on device d; w_p_a_b is 1 when after p
// layers the pipeline goes from a to b. What comes to a device after p layers goes on from there.
class Program {
 public:
  explicit Program(const SearchCase& c) : c_(c), num_layers_(c.times.num_layers()) {
    for (const int device : c.devices) AddStages(device);
    for (int placed = 1; placed < num_layers_; ++placed) {
      for (const int device : c.devices) AddHandover(placed, device);
    }
    std::string begins;
    std::string ends;
    for (const int device : c.devices) {
      for (int end = 1; end <= num_layers_; ++end) Append(Stage(device, 0, end), begins);
      for (int first = 0; first < num_layers_; ++first) {
        Append(Stage(device, first, num_layers_), ends);
      }
    }
    rows_ += absl::StrCat(" begin: ", begins.empty() ? "zero" : begins, " = 1\n");
    rows_ += absl::StrCat(" end: ", ends.empty() ? "zero" : ends, " = 1\n");
  }

  std::string ForSum() const {
    std::string sum = "zero";
    for (const auto& [variable, seconds] : costs_) {
      absl::StrAppend(&sum, " + ", seconds, " ", variable);
    }
    return Text(sum, "");
  }

  std::string ForPeriod() const {
    std::string rows;
    for (const auto& [variable, seconds] : costs_) {
      absl::StrAppend(&rows, " at_least_", variable, ": period - ", seconds, " ", variable,
                      " >= 0\n");
    }
    return Text("period + zero", rows);
  }

 private:
  static void Append(const std::string& variable, std::string& terms) {
    if (!variable.empty()) absl::StrAppend(&terms, terms.empty() ? "" : " + ", variable);
  }

  std::string Stage(int device, int first, int end) const {
    if (c_.times.at(device, first, end - first) == kDoesNotFit) return "";
    return absl::StrCat("x_", device, "_", first, "_", end);
  }

  void AddStages(int device) {
    std::string all;
    for (int first = 0; first < num_layers_; ++first) {
      for (int end = first + 1; end <= num_layers_; ++end) {
        const std::string stage = Stage(device, first, end);
        if (stage.empty()) continue;
        Append(stage, all);
        absl::StrAppend(&binaries_, " ", stage, "\n");
        costs_.emplace_back(stage, c_.times.at(device, first, end - first));
      }
    }
    if (!all.empty()) absl::StrAppend(&rows_, " once_", device, ": ", all, " <= 1\n");
  }

  void AddHandover(int placed, int device) {
    std::string before;
    std::string after;
    std::string from;
    std::string to;
    for (int first = 0; first < placed; ++first) Append(Stage(device, first, placed), before);
    for (int end = placed + 1; end <= num_layers_; ++end) {
      Append(Stage(device, placed, end), after);
    }
    for (const int other : c_.devices) {
      if (other == device) continue;
      Append(absl::StrCat("w_", placed, "_", device, "_", other), from);
      Append(absl::StrCat("w_", placed, "_", other, "_", device), to);
      const std::string link = absl::StrCat("w_", placed, "_", device, "_", other);
      absl::StrAppend(&binaries_, " ", link, "\n");
      costs_.emplace_back(link, c_.links.at(device, other));
    }
    Balance(absl::StrCat("from_", placed, "_", device), before, from);
    Balance(absl::StrCat("to_", placed, "_", device), after, to);
  }

  void Balance(const std::string& name, const std::string& a, const std::string& b) {
    if (a.empty() && b.empty()) return;
    std::string minus = b;
    for (size_t at = 0; (at = minus.find(" + ", at)) != std::string::npos;) minus[at + 1] = '-';
    absl::StrAppend(&rows_, " ", name, ": ", a.empty() ? "zero" : a,
                    minus.empty() ? "" : " - " + minus, " = 0\n");
  }

  std::string Text(const std::string& objective, const std::string& rows) const {
    return absl::StrCat("Minimize\n cost: ", objective, "\nSubject To\n", rows_, rows,
                        " nothing: zero = 0\nBinary\n", binaries_, "End\n");
  }

  const SearchCase& c_;
  const int num_layers_;
  std::string rows_;
  std::string binaries_;
  std::vector<std::pair<std::string, double>> costs_;
};

// The least cost; kDoesNotFit where there is no solution.
double Solve(const std::string& program) {
  const std::filesystem::path directory = ::testing::TempDir();
  const std::string base = (directory / absl::StrCat("placement_", ::getpid())).string();
  std::ofstream(base + ".lp") << program;
  const std::string command =
      absl::StrCat("glpsol --lp ", base, ".lp -o ", base, ".txt > ", base, ".log 2>&1");
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::stringstream text;
  text << std::ifstream(base + ".txt").rdbuf();
  for (const char* suffix : {".lp", ".txt", ".log"}) std::filesystem::remove(base + suffix);
  const std::string solution = text.str();
  if (solution.find("Status:     INTEGER OPTIMAL") == std::string::npos) return kDoesNotFit;
  std::smatch found;
  const bool matches =
      std::regex_search(solution, found, std::regex("Objective:  cost = ([-0-9.e+]+)"));
  EXPECT_TRUE(matches) << solution;
  return matches ? std::stod(found[1]) : -1;
}

TEST(IlpTest, TheSearchAgreesWithAnIntegerProgram) {
  if (std::system("command -v glpsol > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "there is no glpsol; Debian has it in glpk-utils";
  }
  CaseMaker maker(77);
  int feasible = 0;
  for (int i = 0; i < 40; ++i) {
    SearchCase c = maker.Make(5, 7);
    c.in_order = false;
    const Program program(c);
    const std::optional<Pipeline> sum = MinimiseSum(c.space());
    const std::optional<Pipeline> period = MinimisePeriod(c.space());
    ASSERT_EQ(Solve(program.ForSum()), sum.has_value() ? sum->sum : kDoesNotFit) << "case " << i;
    ASSERT_EQ(Solve(program.ForPeriod()), period.has_value() ? period->period : kDoesNotFit)
        << "case " << i;
    feasible += sum.has_value() ? 1 : 0;
  }
  EXPECT_GT(feasible, 20);
}

}  // namespace
}  // namespace layercake
