#pragma once

#include "worker/device/device.h"
#include "worker/device/tensor_view.h"
#include "worker/kernels/logit_summary.h"

namespace layercake {

// Summarises every row, in the device's stream: what is written is there after Finish or
// CopyToHost.
//   logits: [rows, vocab_size] f32; changed where queries say so.   queries, summaries: [rows].
//   changes: as many as the queries name; null will do for none.
//   sums: [rows, 2, NumLogitStrips(vocab_size)]: of each strip the sum of its weights, of the
//     query's scale and of scale 1, where the query asks for them: by eight sums, each of every
//     eighth weight, added in order; the weight of -infinity is 0. max is the row's largest logit.
// All but the logits is memory that AllocateHost gave. REQUIRES: a CUDA device.
void SummarizeLogits(const TensorView& logits, const LogitQuery* queries,
                     const LogitChange* changes, LogitSummary* summaries, double* sums,
                     Device& device);

}  // namespace layercake
