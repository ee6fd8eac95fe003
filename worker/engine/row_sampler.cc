#include "worker/engine/row_sampler.h"

#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "worker/kernels/summarize_logits.h"

namespace layercake {
namespace {

absl::Status FillFromRow(std::span<float> logits, const RowRequest& request, RowResult& result) {
  // Sample last: it overwrites the logits.
  if (request.known_id.has_value()) {
    LC_ASSIGN_OR_RETURN(result.known, Score(logits, *request.known_id, request.known_top_logprobs));
  }
  if (request.sampling != nullptr) {
    LC_ASSIGN_OR_RETURN(result.sampled, Sample(logits, *request.sampling, request.position));
  }
  return absl::OkStatus();
}

// False: it takes the whole row.
absl::StatusOr<bool> FillFromSummary(const SummarizedRow& row, const RowRequest& request,
                                     RowResult& result) {
  if (request.known_id.has_value()) {
    LC_ASSIGN_OR_RETURN(auto known,
                        ScoreSummarized(row, *request.known_id, request.known_top_logprobs));
    if (!known.has_value()) return false;
    result.known = *std::move(known);
  }
  if (request.sampling != nullptr) {
    LC_ASSIGN_OR_RETURN(auto sampled, SampleSummarized(row, *request.sampling, request.position));
    if (!sampled.has_value()) return false;
    result.sampled = *std::move(sampled);
  }
  return true;
}

bool Changes(const LogitQuery& query) { return query.num_banned + query.num_penalized > 0; }

// nullopt: only the whole row will do.
std::optional<LogitQuery> QueryFor(const RowRequest& request, int64_t vocab_size) {
  LogitQuery query;
  if (request.sampling != nullptr) {
    const std::optional<LogitQuery> to_sample = QueryToSample(*request.sampling);
    if (!to_sample.has_value()) return std::nullopt;
    query = *to_sample;
  }
  // An id outside the vocabulary is refused later.
  if (request.known_id.has_value() && *request.known_id >= 0 && *request.known_id < vocab_size) {
    if (Changes(query)) return std::nullopt;  // it is scored by the unchanged logits
    const LogitQuery to_score = QueryToScore(*request.known_id);
    query.plain |= to_score.plain;
    query.token_id = to_score.token_id;
  }
  return query;
}

// What `query` changes by these settings, at the beginning of `changes`. False: there is no room,
// or the settings are wrong, as Sample will say.
bool FillChanges(const SamplingSettings& settings, const LogitQuery& query, int64_t vocab_size,
                 std::span<LogitChange> changes) {
  const auto banned = static_cast<size_t>(query.num_banned);
  const auto penalized = static_cast<size_t>(query.num_penalized);
  if (banned + penalized > changes.size()) return false;
  if (settings.history_ids.size() != settings.history_counts.size()) return false;
  for (size_t i = 0; i < banned + penalized; ++i) {
    const bool is_banned = i < banned;
    const int32_t id = is_banned ? settings.banned_ids[i] : settings.history_ids[i - banned];
    if (id < 0 || id >= vocab_size) return false;
    changes[i] = {id, is_banned ? 0 : settings.history_counts[i - banned]};
  }
  return true;
}

}  // namespace

absl::StatusOr<RowSampler> RowSampler::Create(int64_t max_rows, int64_t vocab_size,
                                              Device& device) {
  RowSampler sampler;
  sampler.vocab_size_ = vocab_size;
  if (device.kind() == DeviceKind::kCpu) return sampler;
  const auto allocate = [&](size_t bytes_of_row, Buffer& buffer) -> absl::Status {
    LC_ASSIGN_OR_RETURN(
        buffer, device.AllocateHost(max_rows * static_cast<int64_t>(bytes_of_row), "logits"));
    return absl::OkStatus();
  };
  LC_RETURN_IF_ERROR(allocate(sizeof(LogitQuery), sampler.queries_));
  LC_RETURN_IF_ERROR(allocate(sizeof(LogitSummary), sampler.summaries_));
  LC_RETURN_IF_ERROR(allocate(2 * NumLogitStrips(vocab_size) * sizeof(double), sampler.sums_));
  LC_RETURN_IF_ERROR(allocate(vocab_size * sizeof(float), sampler.copies_));
  return sampler;
}

absl::Status RowSampler::Run(const TensorView& logits, std::span<const RowRequest> requests,
                             std::span<RowResult> results, Device& device) {
  if (device.kind() != DeviceKind::kCpu) return RunSummarized(logits, requests, results, device);
  const auto count = static_cast<int64_t>(requests.size());
  device.pool().ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::span<float> row(logits.Row(i), static_cast<size_t>(vocab_size_));
      results[i].status = FillFromRow(row, requests[i], results[i]);
    }
  });
  return absl::OkStatus();
}

absl::Status RowSampler::RunSummarized(const TensorView& logits, std::span<const RowRequest> asked,
                                       std::span<RowResult> results, Device& device) {
  const auto count = static_cast<int64_t>(asked.size());
  const auto float_bytes = static_cast<int64_t>(sizeof(float));
  // Where the device changes a row, what is left to be asked of it.
  std::vector<RowRequest> requests(asked.begin(), asked.end());
  std::vector<SamplingSettings> of_changed(asked.size());
  std::vector<bool> take_whole(asked.size(), false);
  // Nothing is copied before all is changed.
  const std::span<LogitChange> changes(copies_.As<LogitChange>(),
                                       static_cast<size_t>(copies_.bytes()) / sizeof(LogitChange));
  int64_t num_changes = 0;
  for (int64_t i = 0; i < count; ++i) {
    std::optional<LogitQuery> query = QueryFor(asked[i], vocab_size_);
    if (query.has_value() && Changes(*query)) {
      query->first_change = num_changes;
      if (FillChanges(*asked[i].sampling, *query, vocab_size_, changes.subspan(num_changes))) {
        num_changes += query->num_banned + query->num_penalized;
        of_changed[i] = OfChangedRow(*asked[i].sampling);
        requests[i].sampling = &of_changed[i];
      } else {
        query.reset();
      }
    }
    take_whole[i] = !query.has_value();
    queries_.As<LogitQuery>()[i] = query.value_or(LogitQuery());
  }
  SummarizeLogits(logits, queries_.As<LogitQuery>(), changes.data(), summaries_.As<LogitSummary>(),
                  sums_.As<double>(), device);
  LC_RETURN_IF_ERROR(device.Finish());
  const int64_t strips = NumLogitStrips(vocab_size_);
  std::vector<int64_t> whole;
  for (int64_t i = 0; i < count; ++i) {
    const TensorView row = F32View(logits.Row(i), 1, vocab_size_);
    const auto fetch = [&](int64_t strip, std::span<float> some) {
      const auto size = static_cast<int64_t>(some.size());
      return device.CopyToHost(some.data(), row.Columns(strip * kLogitStrip, size),
                               size * float_bytes);
    };
    const double* const sums = sums_.As<double>() + 2 * i * strips;
    const SummarizedRow summarized = {.vocab_size = vocab_size_,
                                      .summary = summaries_.As<LogitSummary>()[i],
                                      .sums = {sums, static_cast<size_t>(strips)},
                                      .plain_sums = {sums + strips, static_cast<size_t>(strips)},
                                      .fetch = fetch};
    if (!take_whole[i]) {
      const absl::StatusOr<bool> filled = FillFromSummary(summarized, requests[i], results[i]);
      LC_RETURN_IF_ERROR(device.status());
      results[i].status = filled.status();
      if (!filled.ok() || *filled) continue;
    }
    LC_RETURN_IF_ERROR(
        device.CopyToHost(copies_.As<float>() + i * vocab_size_, row, vocab_size_ * float_bytes));
    whole.push_back(i);
  }
  device.pool().ParallelFor(static_cast<int64_t>(whole.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t i = whole[at];
      const std::span<float> row(copies_.As<float>() + i * vocab_size_,
                                 static_cast<size_t>(vocab_size_));
      results[i].status = FillFromRow(row, requests[i], results[i]);
    }
  });
  return absl::OkStatus();
}

}  // namespace layercake
