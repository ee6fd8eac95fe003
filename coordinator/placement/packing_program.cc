#include "coordinator/placement/packing_program.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace layercake {
namespace {

constexpr double kRounding = 1e-9;
// Of a limit. Limits that are reached together make steps without gain, among which the method may
// go round for ever: so no two are quite equal.
constexpr double kApart = 1e-7;
// After so many steps without gain the first column that could enter does (Bland 1977); after four
// times as many, what is left is rounding.
constexpr int kMaxIdleSteps = 50;

}  // namespace

PackingProgram::PackingProgram(std::vector<double> limits) { SetLimits(std::move(limits)); }

void PackingProgram::Add(double value, std::vector<double> uses) {
  columns_.push_back({value, std::move(uses)});
}

void PackingProgram::AddExchange(size_t from, size_t to) {
  std::vector<double> uses(limits_.size(), 0);
  uses[from] = 1;
  uses[to] = -1;
  Add(0, std::move(uses));
}

void PackingProgram::SetLimits(std::vector<double> limits) {
  limits_ = std::move(limits);
  const size_t rows = limits_.size();
  basis_.resize(rows);
  amounts_.resize(rows);
  inverse_.assign(rows, std::vector<double>(rows, 0));
  prices_.assign(rows, 0);
  for (size_t row = 0; row < rows; ++row) {
    basis_[row] = ~row;
    amounts_[row] =
        limits_[row] + kApart * static_cast<double>(row + 1) / static_cast<double>(rows);
    inverse_[row][row] = 1;
  }
}

double PackingProgram::PriceOf(size_t which) const {
  if (!IsColumn(which)) return prices_[~which];
  return std::inner_product(prices_.begin(), prices_.end(), columns_[which].uses.begin(), 0.0);
}

// What gains most for its value, or if `any`, the first that gains.
size_t PackingProgram::Entering(bool any) const {
  const double dearest = *std::max_element(prices_.begin(), prices_.end());
  size_t best = kNone;
  double most = kRounding;
  const auto consider = [&](size_t which, double value) {
    const double gain = (value - PriceOf(which)) / (value > 0 ? value : dearest);
    if (gain <= most || (any && best != kNone)) return;
    best = which;
    most = gain;
  };
  for (size_t column = 0; column < columns_.size(); ++column) {
    const double value = columns_[column].value;
    if (value > 0 || dearest > 0) consider(column, value);
  }
  for (size_t row = 0; row < limits_.size() && dearest > 0; ++row) consider(~row, 0);
  return best;
}

// How fast what each row holds shrinks as the entering one grows.
std::vector<double> PackingProgram::DirectionOf(size_t which) const {
  std::vector<double> direction;
  for (const std::vector<double>& row : inverse_) {
    direction.push_back(IsColumn(which) ? std::inner_product(row.begin(), row.end(),
                                                             columns_[which].uses.begin(), 0.0)
                                        : row[~which]);
  }
  return direction;
}

size_t PackingProgram::LeavingRow(const std::vector<double>& direction) const {
  size_t first = kNone;
  for (size_t row = 0; row < direction.size(); ++row) {
    if (direction[row] <= kRounding) continue;
    if (first == kNone || amounts_[row] * direction[first] < amounts_[first] * direction[row]) {
      first = row;
    }
  }
  return first;
}

void PackingProgram::Pivot(size_t entering, const std::vector<double>& direction, size_t row) {
  const double gain = (IsColumn(entering) ? columns_[entering].value : 0) - PriceOf(entering);
  std::vector<double>& pivot = inverse_[row];
  for (double& value : pivot) value /= direction[row];
  amounts_[row] /= direction[row];
  for (size_t other = 0; other < direction.size(); ++other) {
    if (other == row || direction[other] == 0) continue;
    for (size_t i = 0; i < pivot.size(); ++i) inverse_[other][i] -= direction[other] * pivot[i];
    amounts_[other] = std::max(0.0, amounts_[other] - direction[other] * amounts_[row]);
  }
  for (size_t i = 0; i < pivot.size(); ++i) prices_[i] += gain * pivot[i];
  basis_[row] = entering;
}

void PackingProgram::Solve() {
  int idle = 0;
  double before = value();
  while (idle < 4 * kMaxIdleSteps) {
    const size_t entering = Entering(/*any=*/idle > kMaxIdleSteps);
    if (entering == kNone) return;
    const std::vector<double> direction = DirectionOf(entering);
    const size_t row = LeavingRow(direction);
    if (row == kNone) return;
    Pivot(entering, direction, row);
    idle = value() > before ? 0 : idle + 1;
    before = value();
  }
}

double PackingProgram::value() const {
  double sum = 0;
  for (size_t row = 0; row < basis_.size(); ++row) {
    if (IsColumn(basis_[row])) sum += columns_[basis_[row]].value * amounts_[row];
  }
  return sum;
}

std::vector<double> PackingProgram::amounts() const {
  std::vector<double> amounts(columns_.size(), 0);
  for (size_t row = 0; row < basis_.size(); ++row) {
    if (IsColumn(basis_[row])) amounts[basis_[row]] = amounts_[row];
  }
  return amounts;
}

}  // namespace layercake
