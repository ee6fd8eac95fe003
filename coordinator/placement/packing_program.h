#pragma once

// The linear program of packing: how much of each column to take, so that their values add up to
// the most and no limit is exceeded.
//
//   maximise sum(value_j * amount_j)  where  sum(uses_ij * amount_j) <= limit_i,  amount_j >= 0
//
// Solved by the revised simplex method. Columns may be added after it was solved, where prices show
// what is missing (column generation, Dantzig and Wolfe 1960).

#include <cstddef>
#include <vector>

namespace layercake {

class PackingProgram {
 public:
  // limits: >= 0, at least one.
  explicit PackingProgram(std::vector<double> limits);

  size_t num_columns() const { return columns_.size(); }
  // A column of value > 0.
  //   uses: >= 0, [number of limits], some > 0.
  void Add(double value, std::vector<double> uses);
  // A column of no value that turns one of limit `from` into one of limit `to`.
  void AddExchange(size_t from, size_t to);
  // The same columns under other limits.
  void SetLimits(std::vector<double> limits);
  void Solve();

  // As of the last Solve.
  double value() const;
  std::vector<double> amounts() const;  // by column
  // What one more of each limit is worth, >= 0: no column is worth more than what it uses costs.
  const std::vector<double>& prices() const { return prices_; }

 private:
  struct Column {
    double value;
    std::vector<double> uses;
  };
  // A column by its index; what is left of a limit by the complement of the limit's.
  static constexpr size_t kNone = static_cast<size_t>(-1) / 2;
  bool IsColumn(size_t which) const { return which < columns_.size(); }

  double PriceOf(size_t which) const;
  size_t Entering(bool any) const;
  std::vector<double> DirectionOf(size_t which) const;
  size_t LeavingRow(const std::vector<double>& direction) const;
  void Pivot(size_t entering, const std::vector<double>& direction, size_t row);

  std::vector<double> limits_;
  std::vector<Column> columns_;
  // The basis, a row for each limit: what is taken, how much of it, and the basis' inverse.
  std::vector<size_t> basis_;
  std::vector<double> amounts_;
  std::vector<std::vector<double>> inverse_;
  std::vector<double> prices_;
};

}  // namespace layercake
