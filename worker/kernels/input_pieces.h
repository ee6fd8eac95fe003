#pragma once

// Inputs of a product of integers, taken apart into bytes. Plain, as kernel_args.h.

#include <cstdint>

#include "common/model/packing.h"

namespace layercake {

// An input is scale * (256 * first + second), to 2^-16 of the largest of its run: neighbours in the
// matrix's order, which share a scale. Where one of them is not finite the pieces are 0 and the
// scale is not finite, so that what it multiplies is NaN.
struct RunOfInputs {
  float scale;
  int32_t sums;  // 65536 * that of the run's first pieces + that of the second
};

// Both pieces of 4 neighbouring inputs, one per byte from the lowest on.
struct InputQuad {
  uint32_t first;   // in [-127, 127]
  uint32_t second;  // in [-128, 127]
};

// Rows of them in InputPiecesBytes() bytes; beyond a row's inputs all is 0.
struct InputPieces {
  static constexpr int kStepQuads = static_cast<int>(kStepInputs / 4);
  // A run is 2^run_shift inputs, of one group of weights: one, two or four steps.
  static constexpr int kMinRunShift = 5;
  static constexpr int kMaxRunShift = 7;

  InputPieces() = default;
  // REQUIRES: group_shift >= kMinRunShift.
  InputPieces(void* memory, int64_t rows, int64_t inputs, int group_shift)
      : steps((inputs + kStepInputs - 1) / kStepInputs),
        run_shift(group_shift < kMaxRunShift ? group_shift : kMaxRunShift),
        num_runs(((inputs - 1) >> run_shift) + 1),
        quads(static_cast<InputQuad*>(memory)),
        runs(reinterpret_cast<RunOfInputs*>(quads + rows * steps * kStepQuads)) {}

  constexpr InputPieces From(int64_t row) const {
    InputPieces rest = *this;
    rest.quads += row * steps * kStepQuads;
    rest.runs += row * num_runs;
    return rest;
  }
  constexpr int StepsOfRun() const { return 1 << (run_shift - kMinRunShift); }

  int64_t steps = 0;
  int run_shift = kMinRunShift;
  int64_t num_runs = 0;
  InputQuad* quads = nullptr;   // [rows][steps][kStepQuads]
  RunOfInputs* runs = nullptr;  // [rows][num_runs]
};

}  // namespace layercake
