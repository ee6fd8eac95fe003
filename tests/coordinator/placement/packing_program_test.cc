#include "coordinator/placement/packing_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace layercake {
namespace {

struct Program {
  std::vector<double> limits;
  std::vector<double> values;
  std::vector<std::vector<double>> uses;  // of each column
};

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// What proves both a solution and its prices best: neither breaks a rule, and they are worth the
// same.
void ExpectSolved(const PackingProgram& program, const Program& asked) {
  const std::vector<double> amounts = program.amounts();
  const std::vector<double>& prices = program.prices();
  ASSERT_EQ(amounts.size(), asked.values.size());
  for (const double amount : amounts) EXPECT_GE(amount, 0);
  double bought = 0;
  for (size_t row = 0; row < asked.limits.size(); ++row) {
    double used = 0;
    for (size_t i = 0; i < amounts.size(); ++i) used += amounts[i] * asked.uses[i][row];
    EXPECT_LE(used, asked.limits[row] + 1e-6);
    EXPECT_GE(prices[row], -1e-9);
    bought += prices[row] * asked.limits[row];
  }
  for (size_t i = 0; i < amounts.size(); ++i) {
    EXPECT_GE(Dot(prices, asked.uses[i]), asked.values[i] * (1 - 1e-6) - 1e-9);
  }
  EXPECT_NEAR(program.value(), Dot(amounts, asked.values), 1e-9 * (1 + program.value()));
  EXPECT_NEAR(program.value(), bought, 1e-4 * (1 + bought));
}

Program RandomProgram(std::mt19937& random) {
  const auto draw = [&random](int low, int high) {
    return std::uniform_int_distribution<>(low, high)(random);
  };
  Program program;
  const int rows = draw(1, 8);
  for (int row = 0; row < rows; ++row) program.limits.push_back(draw(0, 20));
  const int columns = draw(1, 25);
  for (int i = 0; i < columns; ++i) {
    std::vector<double> uses(rows, 0);
    for (double& use : uses) use = draw(0, 2) == 0 ? draw(1, 30) / 4.0 : 0;
    if (Dot(uses, uses) == 0) uses[draw(0, rows - 1)] = 1;
    program.uses.push_back(uses);
    program.values.push_back(draw(1, 40));
  }
  return program;
}

TEST(PackingProgramTest, SolutionsAndPricesProveEachOther) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    const Program asked = RandomProgram(random);
    PackingProgram program(asked.limits);
    for (size_t c = 0; c < asked.values.size(); ++c) program.Add(asked.values[c], asked.uses[c]);
    program.Solve();
    ExpectSolved(program, asked);
    ASSERT_FALSE(HasFailure()) << "program " << i;
  }
}

TEST(PackingProgramTest, TakesColumnsAndLimitsAfterItWasSolved) {
  std::mt19937 random(6);
  for (int i = 0; i < 1000; ++i) {
    Program asked = RandomProgram(random);
    PackingProgram program(asked.limits);
    for (size_t c = 0; c < asked.values.size(); ++c) {
      program.Add(asked.values[c], asked.uses[c]);
      program.Solve();
    }
    ExpectSolved(program, asked);
    for (double& limit : asked.limits) limit = random() % 15;
    program.SetLimits(asked.limits);
    program.Solve();
    ExpectSolved(program, asked);
    ASSERT_FALSE(HasFailure()) << "program " << i;
  }
}

TEST(PackingProgramTest, ExchangesServeOneLimitFromAnother) {
  PackingProgram program({3, 0});
  program.Add(5, {0, 1});
  program.Solve();
  EXPECT_NEAR(program.value(), 0, 1e-5);
  program.AddExchange(0, 1);
  program.Solve();
  EXPECT_NEAR(program.value(), 15, 1e-5);
  EXPECT_NEAR(program.prices()[0], 5, 1e-9);
  EXPECT_NEAR(program.prices()[1], 5, 1e-9);
  EXPECT_NEAR(program.amounts()[1], 3, 1e-5);
}

TEST(PackingProgramTest, NothingToTakeIsWorthNothing) {
  PackingProgram program({1, 2});
  program.Solve();
  EXPECT_EQ(program.value(), 0);
  EXPECT_THAT(program.amounts(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace layercake
