#pragma once

// Products drawn at random, for tests that kernels of many rows give the bits of those of few.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/testing/kernel_testing.h"
#include "worker/kernels/cuda_kernels.h"
#include "worker/kernels/packed_matrix.h"

namespace layercake {

// Some draws are not all of finite numbers.
inline bool IsBounded(int draw) { return draw % 5 != 4; }

class DrawnProducts : public ::testing::Test {
 protected:
  using Product = int (*)(const MatMulArgs&, CUstream_st*);

  struct Weights {
    PackedMatrix matrix;
    std::vector<float> values;  // [outputs, inputs], by input
    std::string text;
  };
  struct Size {
    int64_t rows, outputs, inputs;
    int64_t stride;  // of rows of x
  };
  struct OfOne {
    Size size;
    Weights weights;
    std::vector<float> x;     // [rows, stride]
    std::vector<float> bias;  // may be empty
    Buffer on_x;
    Buffer on_bias;
    MatMulArgs args;
    std::string text;
  };
  struct OfExperts {
    Weights weights;
    Buffer x;
    Buffer groups;
    int64_t rows;     // of all experts
    MatMulArgs args;  // but for the rows that one has, roughly
    std::string text;
  };

  // Of a card of at least that compute capability, by one of its kernels.
  //   types: of weights that are no integers.
  DrawnProducts(int capability, Product CudaKernels::*product, std::span<const DType> types);

  // Every other draw is of integers, in any order, the others of numbers.
  OfOne Draw(int draw, const Size& size);
  // The same, but in order. Every other expert has up to `most_rows` rows, the others a few, some
  // none.
  OfExperts DrawExperts(int draw, int64_t inputs, int64_t most_rows);
  // A few, less than a run of all chains, or several of them; seldom a multiple of anything.
  int64_t DrawInputs();

  // [out_rows, outputs]; every NaN is the same.
  std::vector<float> Multiply(MatMulArgs args, int64_t out_rows, int num_multiprocessors);

  // That `value` is an element of the product: how far it may be from that in double, for each of
  // the sum's magnitude and of `least`, what small terms may be taken for.
  static void ExpectElement(const OfOne& product, int64_t row, int64_t output, float value,
                            double tolerance, double least);

  RandomInput random_;
  std::unique_ptr<Device> device_;

 private:
  template <typename Integers>
  Weights DrawIntegers(int64_t outputs, int64_t inputs, const Quantization& format);
  Weights DrawDense(int64_t outputs, int64_t inputs, DType dtype);
  Weights DrawWeights(int64_t outputs, int64_t inputs, int draw, bool ordered);
  std::vector<float> DrawX(const Size& size, int draw);

  const Product product_;
  const std::span<const DType> types_;
};

}  // namespace layercake
