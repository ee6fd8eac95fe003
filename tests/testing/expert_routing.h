#pragma once

// Random tokens on their way through experts, for tests of every kind of device: what comes out is
// held against the same in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/model/costs.h"
#include "tests/testing/kernel_testing.h"
#include "tests/testing/random_integers.h"
#include "tests/testing/test_card.h"
#include "worker/kernels/experts.h"
#include "worker/kernels/matmul.h"

namespace layercake {

class ExpertRouting {
 public:
  ExpertRouting(RandomInput& random, int64_t num_tokens, int64_t num_experts,
                int64_t experts_per_token, Device& device)
      : random_(random), device_(device), tokens_(num_tokens) {
    config_.experts =
        MixtureOfExperts{.num_experts = num_experts, .experts_per_token = experts_per_token};
    auto memory = device.Allocate(RoutesBytes(config_, num_tokens), "a test");
    CHECK(memory.ok()) << memory.status();
    memory_ = *std::move(memory);
    scores_ = random.Normal(num_tokens * num_experts);
    // Some are equal.
    for (float& score : scores_) {
      if (random.Below(3) == 0) score = std::round(score);
    }
  }

  int64_t rows() const { return tokens_ * per_token(); }
  int64_t num_experts() const { return config_.experts->num_experts; }
  int64_t per_token() const { return config_.experts->experts_per_token; }
  std::vector<float>& scores() { return scores_; }
  const ExpertRoutes& routes() const { return routes_; }
  int64_t token_of(int64_t row) const { return token_of_[row]; }
  int64_t expert_of(int64_t row) const { return expert_of_[row]; }

  // Routes, and checks where every token went.
  void Check(bool renormalized) {
    routes_ = RoutesIn(memory_.data(), *config_.experts, tokens_);
    ASSERT_EQ(routes_.rows(), rows());
    const Buffer scores = Upload(device_, scores_);
    Route(F32View(scores.As<float>(), tokens_, num_experts()), renormalized, routes_, device_);
    const auto experts = Integers(routes_.experts, rows());
    const auto places = Integers(routes_.places, rows());
    const auto tokens = Integers(routes_.tokens, rows());
    const auto groups =
        Integers(reinterpret_cast<const int32_t*>(routes_.groups), 3 * routes_.num_groups());
    weights_ = Floats(routes_.weights, rows());
    places_ = places;
    for (int64_t token = 0; token < tokens_; ++token) CheckChoice(token, renormalized, experts);

    token_of_.assign(rows(), -1);
    expert_of_.assign(rows(), -1);
    int64_t end = 0, last = -1;
    for (int64_t i = 0; i < routes_.num_groups(); ++i) {
      const int64_t expert = groups[3 * i], begin = groups[3 * i + 1], stop = groups[3 * i + 2];
      if (begin == stop) {
        ASSERT_EQ(stop, 0);
        continue;
      }
      ASSERT_GT(expert, last);
      ASSERT_EQ(begin, end);
      ASSERT_LE(stop, rows());
      std::fill(expert_of_.begin() + begin, expert_of_.begin() + stop, expert);
      last = expert;
      end = stop;
    }
    ASSERT_EQ(end, rows());
    for (int64_t i = 0; i < rows(); ++i) {
      ASSERT_TRUE(places[i] >= 0 && places[i] < rows());
      ASSERT_EQ(expert_of_[places[i]], experts[i]);
      ASSERT_EQ(tokens[places[i]], i / per_token());
      ASSERT_EQ(token_of_[places[i]], -1) << "two have one row";
      token_of_[places[i]] = i / per_token();
    }
  }

  // Gathers tokens and combines rows. After Check.
  void CheckGatherAndCombine(int64_t dim) {
    const auto x = random_.Normal(tokens_ * dim), of_rows = random_.Normal(rows() * dim);
    const Buffer on_x = Upload(device_, x), gathered = Upload(device_, of_rows);
    GatherRows(F32View(on_x.As<float>(), tokens_, dim), routes_,
               F32View(gathered.As<float>(), rows(), dim), device_);
    const auto got = Download(device_, gathered, rows() * dim);
    for (int64_t i = 0; i < rows() * dim; ++i) {
      ASSERT_EQ(got[i], x[token_of_[i / dim] * dim + i % dim]);
    }
    const Buffer on_rows = Upload(device_, of_rows);
    CombineRows(F32View(on_rows.As<float>(), rows(), dim), routes_,
                F32View(on_x.As<float>(), tokens_, dim), device_);
    const auto combined = Download(device_, on_x, tokens_ * dim);
    for (int64_t i = 0; i < tokens_ * dim; ++i) {
      double sum = 0;
      for (int64_t j = i / dim * per_token(); j < (i / dim + 1) * per_token(); ++j) {
        sum += double{weights_[j]} * of_rows[places_[j] * dim + i % dim];
      }
      ASSERT_NEAR(combined[i], sum, 1e-5);
    }
  }

 private:
  void CheckChoice(int64_t token, bool renormalized, const std::vector<int32_t>& experts) {
    const float* const scores = scores_.data() + token * num_experts();
    const auto key = [&](int64_t e) {
      return std::isnan(scores[e]) ? -std::numeric_limits<float>::infinity() : scores[e];
    };
    std::vector<int64_t> order(num_experts());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater<float>(), key);
    double all = 0, chosen = 0;
    for (int64_t i = 0; i < num_experts(); ++i) {
      const double exponential = std::exp(double{scores[order[i]]});
      all += exponential;
      if (i < per_token()) chosen += exponential;
    }
    for (int64_t i = 0; i < per_token(); ++i) {
      const int64_t at = token * per_token() + i;
      ASSERT_EQ(experts[at], order[i]) << "choice " << i << " of token " << token;
      if (std::isnan(all)) {
        ASSERT_TRUE(std::isnan(weights_[at]));
      } else {
        ASSERT_NEAR(weights_[at],
                    std::exp(double{scores[order[i]]}) / (renormalized ? chosen : all), 1e-6);
      }
    }
  }
  std::vector<float> Floats(const float* on_device, int64_t count) {
    std::vector<float> values(count);
    const TensorView view = F32View(const_cast<float*>(on_device), 1, count);
    const absl::Status copied = device_.CopyToHost(values.data(), view, count * sizeof(float));
    CHECK(copied.ok()) << copied;
    return values;
  }
  std::vector<int32_t> Integers(const int32_t* on_device, int64_t count) {
    std::vector<int32_t> values;
    for (const float value : Floats(reinterpret_cast<const float*>(on_device), count)) {
      values.push_back(std::bit_cast<int32_t>(value));
    }
    return values;
  }

  RandomInput& random_;
  Device& device_;
  const int64_t tokens_;
  ModelConfig config_;
  Buffer memory_;
  ExpertRoutes routes_;
  std::vector<float> scores_, weights_;
  std::vector<int32_t> places_;
  std::vector<int64_t> token_of_, expert_of_;
};

inline void CheckRouting(RandomInput& random, Device& device) {
  for (int seed = 0; seed < 20; ++seed) {
    const int64_t experts = 1 + random.Below(seed % 4 == 0 ? 200 : 20);
    const int64_t each = 1 + random.Below(std::min<int64_t>(experts, 9));
    ExpertRouting routing(random, 1 + random.Below(40), experts, each, device);
    if (seed % 5 == 0) {
      routing.scores()[random.Below(std::ssize(routing.scores()))] =
          std::numeric_limits<float>::quiet_NaN();
    }
    routing.Check(/*renormalized=*/seed % 2 == 0);
    if (seed % 5 != 0) routing.CheckGatherAndCombine(1 + random.Below(300));
    if (::testing::Test::HasFatalFailure()) {
      ADD_FAILURE() << "seed " << random.seed();
      return;
    }
  }
}

// Products of experts' rows in double; and the same bits when tokens come one by one.
//   tolerance: of the terms' magnitudes.
//   inputs_taken_apart: where weights are integers, allow for RandomIntegers::InputErrors too.
inline void CheckExpertProducts(RandomInput& random, double tolerance, Device& device,
                                bool inputs_taken_apart = false) {
  std::vector<Quantization> formats = {{.bits = 0}, {.bits = 0}, {.bits = 0}};
  for (const Quantization& format : IntegerFormats()) {
    if (!format.act_order) formats.push_back(format);
  }
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
  int kind = 0;
  for (const Quantization& format : formats) {
    const int64_t experts = 1 + random.Below(6), each = 1 + random.Below(experts);
    const int64_t tokens = 1 + random.Below(kind % 4 == 0 ? 70 : 12);
    const int64_t outputs = 1 + random.Below(140), inputs = 1 + random.Below(200);
    const int64_t padded = (outputs + kPanelOutputs - 1) / kPanelOutputs * kPanelOutputs;
    SCOPED_TRACE(absl::StrCat("format ", kind, ", ", tokens, " tokens, ", each, " of ", experts,
                              " experts, ", outputs, " x ", inputs, ", seed ", random.seed()));
    PackedMatrix matrix;
    std::function<std::vector<double>(const std::vector<float>&)> input_errors;
    std::vector<float> weights(experts * padded * inputs);
    if (format.bits == 0) {
      const DType dtype = kTypes[kind];
      weights = random.Normal(experts * padded * inputs, dtype);
      auto created = PackedMatrix::Create(experts * padded, inputs, dtype, device, "a test");
      ASSERT_TRUE(created.ok()) << created.status();
      matrix = *std::move(created);
      for (int64_t e = 0; e < experts; ++e) {
        matrix.PackRows(e * padded, outputs, weights.data() + e * padded * inputs, DType::kF32,
                        device);
      }
    } else {
      const RandomIntegers integers(random, experts * padded, inputs, format, DType::kF16);
      matrix = integers.Pack(device);
      for (int64_t i = 0; i < std::ssize(weights); ++i) {
        weights[i] = integers.Weight(i / inputs, i % inputs);
      }
      if (inputs_taken_apart)
        input_errors = [integers](const auto& x) { return integers.InputErrors(x); };
    }
    ++kind;
    ExpertRouting routing(random, tokens, experts, each, device);
    routing.Check(/*renormalized=*/true);
    if (::testing::Test::HasFatalFailure()) return;
    const auto x = random.Normal(routing.rows() * inputs);
    const Buffer on_x = Upload(device, x);
    const Buffer out = Upload(device, std::vector<float>(routing.rows() * outputs, -1));
    const Buffer scratch = ProductScratch(device, routing.rows(), inputs);
    MatMulExperts(F32View(on_x.As<float>(), routing.rows(), inputs), matrix, routing.routes(),
                  F32View(out.As<float>(), routing.rows(), outputs), device, scratch);
    const auto values = Download(device, out, routing.rows() * outputs);
    std::vector<double> errors(inputs, 0);
    for (int64_t i = 0; i < routing.rows() * outputs; ++i) {
      const int64_t row = i / outputs;
      if (i % outputs == 0 && input_errors) {
        errors = input_errors({x.begin() + row * inputs, x.begin() + (row + 1) * inputs});
      }
      const float* const w =
          weights.data() + (routing.expert_of(row) * padded + i % outputs) * inputs;
      double sum = 0, magnitude = 1, error = 0;
      for (int64_t k = 0; k < inputs; ++k) {
        const double term = double{x[row * inputs + k]} * w[k];
        sum += term;
        magnitude += std::abs(term);
        error += errors[k] * std::abs(w[k]);
      }
      ASSERT_NEAR(values[i], sum, tolerance * magnitude + error) << "row " << row;
    }
    // Alone, a token's rows are in other places.
    const int64_t token = random.Below(tokens);
    ExpertRouting alone(random, 1, experts, each, device);
    alone.scores() = {routing.scores().begin() + token * experts,
                      routing.scores().begin() + (token + 1) * experts};
    alone.Check(/*renormalized=*/true);
    if (::testing::Test::HasFatalFailure()) return;
    std::vector<float> own_x, own;
    for (int64_t row = 0; row < routing.rows(); ++row) {
      if (routing.token_of(row) != token) continue;
      own_x.insert(own_x.end(), x.begin() + row * inputs, x.begin() + (row + 1) * inputs);
      own.insert(own.end(), values.begin() + row * outputs, values.begin() + (row + 1) * outputs);
    }
    const Buffer on_own = Upload(device, own_x);
    MatMulExperts(F32View(on_own.As<float>(), each, inputs), matrix, alone.routes(),
                  F32View(out.As<float>(), each, outputs), device, scratch);
    ASSERT_TRUE(SameBits(Download(device, out, each * outputs), own));
  }
}

}  // namespace layercake
