#include "worker/engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/philox.h"
#include "worker/engine/token_filter.h"
#include "worker/kernels/elementwise.h"

namespace layercake {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Independent maxima, so that the compiler can keep them in vectors.
constexpr size_t kLanes = 16;

absl::Status BadLogit(int64_t id, float logit, size_t vocab_size) {
  return absl::InternalError(absl::StrCat("the model's logit of token ", id, " of ", vocab_size,
                                          " is ", logit,
                                          "; its weights, or this device, are broken"));
}

absl::Status NothingToDraw(size_t vocab_size) {
  return absl::InternalError(absl::StrCat(
      "none of ", vocab_size, " tokens can be drawn: every one is banned, or its logit -infinity"));
}

// The largest logit. Errors: Internal (NaN, +infinity, or nothing above -infinity).
absl::StatusOr<float> CheckedMax(std::span<const float> logits) {
  std::array<float, kLanes> max;
  max.fill(-kInfinity);
  std::array<int32_t, kLanes> broken = {};
  for (size_t i = 0; i < logits.size(); i += kLanes) {
    const size_t count = std::min(kLanes, logits.size() - i);
    for (size_t lane = 0; lane < count; ++lane) {
      const float x = logits[i + lane];
      max[lane] = x > max[lane] ? x : max[lane];
      broken[lane] |= !(x < kInfinity);
    }
  }
  if (*std::max_element(broken.begin(), broken.end()) != 0) {
    const auto bad =
        std::find_if(logits.begin(), logits.end(), [](float x) { return !(x < kInfinity); });
    return BadLogit(bad - logits.begin(), *bad, logits.size());
  }
  const float best = *std::max_element(max.begin(), max.end());
  if (best == -kInfinity) return NothingToDraw(logits.size());
  return best;
}

bool Likelier(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob > b.logprob || (a.logprob == b.logprob && a.token_id < b.token_id);
}

// The `count` largest logits, largest first.
std::vector<TokenLogprob> Largest(std::span<const float> logits, size_t count) {
  std::vector<TokenLogprob> heap;  // its front is the least likely
  count = std::min(count, logits.size());
  heap.reserve(count + 1);
  for (size_t id = 0; count > 0 && id < logits.size(); ++id) {
    if (heap.size() == count && logits[id] <= heap.front().logprob) continue;
    heap.push_back({static_cast<int32_t>(id), logits[id]});
    std::push_heap(heap.begin(), heap.end(), Likelier);
    if (heap.size() > count) {
      std::pop_heap(heap.begin(), heap.end(), Likelier);
      heap.pop_back();
    }
  }
  std::sort_heap(heap.begin(), heap.end(), Likelier);
  return heap;
}

// What is reported under the unmodified logits; `token_id` is filled in once drawn.
struct Report {
  double log_sum = 0;
  std::vector<TokenLogprob> top;
};

// `top`: with their logits.
Report MakeReport(float max, double total, std::vector<TokenLogprob> top) {
  Report report = {max + std::log(total), std::move(top)};
  for (TokenLogprob& token : report.top) {
    token.logprob = static_cast<float>(token.logprob - report.log_sum);
  }
  return report;
}

Report MakeReport(std::span<const float> logits, float max, int32_t top_logprobs) {
  return MakeReport(max, Softmax{max, 1}.Total(logits),
                    Largest(logits, static_cast<size_t>(top_logprobs)));
}

absl::Status CheckIds(std::span<const int32_t> ids, size_t vocab_size, absl::string_view what) {
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " ", id, " is outside the vocabulary of ", vocab_size));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRange(absl::string_view name, float value, bool in_range,
                        absl::string_view range) {
  if (in_range) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, "; it must be ", range));
}

absl::Status CheckSettings(const SamplingSettings& s, size_t vocab_size) {
  LC_RETURN_IF_ERROR(CheckRange("temperature", s.temperature,
                                s.temperature >= 0 && s.temperature < kInfinity, "0 or more"));
  LC_RETURN_IF_ERROR(CheckRange("top_k", static_cast<float>(s.top_k), s.top_k >= 0, "0 or more"));
  LC_RETURN_IF_ERROR(CheckRange("top_p", s.top_p, s.top_p > 0 && s.top_p <= 1, "in (0, 1]"));
  LC_RETURN_IF_ERROR(CheckRange("min_p", s.min_p, s.min_p >= 0 && s.min_p <= 1, "in [0, 1]"));
  LC_RETURN_IF_ERROR(CheckRange("repetition_penalty", s.repetition_penalty,
                                s.repetition_penalty > 0 && s.repetition_penalty < kInfinity,
                                "above 0"));
  LC_RETURN_IF_ERROR(CheckRange("presence_penalty", s.presence_penalty,
                                std::abs(s.presence_penalty) <= 2, "in [-2, 2]"));
  LC_RETURN_IF_ERROR(CheckRange("frequency_penalty", s.frequency_penalty,
                                std::abs(s.frequency_penalty) <= 2, "in [-2, 2]"));
  if (s.top_logprobs < 0 || s.history_ids.size() != s.history_counts.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "top_logprobs is ", s.top_logprobs, ", and there are ", s.history_counts.size(),
        " counts for ", s.history_ids.size(), " ids of history; neither may be so"));
  }
  LC_RETURN_IF_ERROR(CheckIds(s.history_ids, vocab_size, "history id"));
  return CheckIds(s.banned_ids, vocab_size, "banned id");
}

void ApplyPenalties(std::span<float> logits, const SamplingSettings& s) {
  for (size_t i = 0; i < s.history_ids.size(); ++i) {
    float& logit = logits[s.history_ids[i]];
    logit = logit > 0 ? logit / s.repetition_penalty : logit * s.repetition_penalty;
    if (s.history_counts[i] <= 0) continue;
    logit -= s.presence_penalty;
    logit -= s.frequency_penalty * static_cast<float>(s.history_counts[i]);
  }
  for (const int32_t id : s.banned_ids) logits[id] = -kInfinity;
}

bool IsGreedy(const SamplingSettings& s) {
  return s.temperature == 0 || s.top_k == 1 || 1 / s.temperature == kInfinity;
}

int32_t DrawToken(std::span<float> logits, float max, const SamplingSettings& s, int64_t position) {
  const Softmax softmax = {max, 1 / s.temperature};
  if (IsGreedy(s)) {
    return static_cast<int32_t>(std::find(logits.begin(), logits.end(), max) - logits.begin());
  }
  const double uniform = UniformAt(s.seed, static_cast<uint64_t>(position));
  const auto token = DrawFromLikeliest(logits, softmax, s.top_k, s.min_p, s.top_p, uniform);
  if (token.has_value()) return *token;
  if (s.top_k > 0) KeepTopK(logits, s.top_k);
  if (s.min_p > 0) KeepMinP(logits, softmax, s.min_p);
  if (s.top_p < 1) KeepTopP(logits, softmax, s.top_p);
  return Draw(logits, softmax, uniform);
}

std::span<const LikelyToken> LikeliestOf(const LogitSummary& summary) {
  return {summary.likeliest, static_cast<size_t>(std::max(0, summary.num_likeliest))};
}

absl::Status CheckSummary(const SummarizedRow& row) {
  const auto vocab_size = static_cast<size_t>(row.vocab_size);
  const LogitSummary& summary = row.summary;
  if (summary.bad_id >= 0) return BadLogit(summary.bad_id, summary.bad_logit, vocab_size);
  return summary.num_likeliest == 0 ? NothingToDraw(vocab_size) : absl::OkStatus();
}

double Sum(std::span<const double> sums) {
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// nullopt: the summary has fewer.
std::optional<std::vector<TokenLogprob>> Largest(const LogitSummary& summary, size_t count) {
  const std::span<const LikelyToken> likeliest = LikeliestOf(summary);
  if (count > likeliest.size()) return std::nullopt;
  std::vector<TokenLogprob> largest;
  for (const LikelyToken& token : likeliest.first(count)) {
    largest.push_back({token.id, token.logit});
  }
  return largest;
}

// As Draw of the whole row: it passes the goal in the strip whose sum does.
absl::StatusOr<std::optional<int32_t>> DrawFromSums(const SummarizedRow& row,
                                                    const Softmax& softmax, double uniform) {
  const double goal = uniform * Sum(row.sums);
  double running = 0;
  for (size_t strip = 0; strip < row.sums.size(); ++strip) {
    if (running + row.sums[strip] <= goal) {
      running += row.sums[strip];
      continue;
    }
    const int64_t begin = static_cast<int64_t>(strip) * kLogitStrip;
    std::array<float, kLogitStrip> logits;
    const std::span<float> some(logits.data(),
                                std::min<int64_t>(kLogitStrip, row.vocab_size - begin));
    LC_RETURN_IF_ERROR(row.fetch(static_cast<int64_t>(strip), some));
    return static_cast<int32_t>(begin) + DrawBeyond(some, softmax, running, goal);
  }
  return std::nullopt;  // rounding left the sums short of the goal
}

// nullopt: only the whole row says.
absl::StatusOr<std::optional<int32_t>> DrawToken(const SummarizedRow& row,
                                                 const SamplingSettings& s, int64_t position) {
  const std::span<const LikelyToken> likeliest = LikeliestOf(row.summary);
  if (IsGreedy(s)) return likeliest[0].id;
  const Softmax softmax = {likeliest[0].logit, 1 / s.temperature};
  const double uniform = UniformAt(s.seed, static_cast<uint64_t>(position));
  const auto total = [&row] { return Sum(row.sums); };
  const auto token =
      DrawFromLikeliest(likeliest, total, softmax, s.top_k, s.min_p, s.top_p, uniform);
  if (token.has_value()) return token;
  if (s.top_k > 0 || s.min_p > 0 || s.top_p < 1) return std::nullopt;
  return DrawFromSums(row, softmax, uniform);
}

absl::StatusOr<float> LogitOf(const SummarizedRow& row, int32_t token_id) {
  for (const LikelyToken& token : LikeliestOf(row.summary)) {
    if (token.id == token_id) return token.logit;
  }
  const int64_t begin = token_id / kLogitStrip * kLogitStrip;
  std::array<float, kLogitStrip> logits;
  const auto count = std::min<int64_t>(kLogitStrip, row.vocab_size - begin);
  LC_RETURN_IF_ERROR(
      row.fetch(token_id / kLogitStrip, {logits.data(), static_cast<size_t>(count)}));
  return logits[token_id - begin];
}

}  // namespace

absl::StatusOr<SampledToken> Sample(std::span<float> logits, const SamplingSettings& settings,
                                    int64_t position) {
  LC_RETURN_IF_ERROR(CheckSettings(settings, logits.size()));
  LC_ASSIGN_OR_RETURN(float max, CheckedMax(logits));
  Report report;
  std::vector<float> history_logits;  // as they were, should one of them be drawn
  if (settings.logprobs) {
    report = MakeReport(logits, max, settings.top_logprobs);
    for (const int32_t id : settings.history_ids) history_logits.push_back(logits[id]);
  }
  if (!settings.history_ids.empty() || !settings.banned_ids.empty()) {
    ApplyPenalties(logits, settings);
    LC_ASSIGN_OR_RETURN(max, CheckedMax(logits));
  }
  SampledToken token = {.token_id = DrawToken(logits, max, settings, position)};
  if (!settings.logprobs) return token;
  float logit = logits[token.token_id];
  for (size_t i = 0; i < settings.history_ids.size(); ++i) {
    if (settings.history_ids[i] == token.token_id) logit = history_logits[i];
  }
  token.logprob = static_cast<float>(logit - report.log_sum);
  token.top = std::move(report.top);
  return token;
}

absl::StatusOr<SampledToken> Score(std::span<const float> logits, int32_t token_id,
                                   int32_t top_logprobs) {
  LC_RETURN_IF_ERROR(CheckIds({&token_id, 1}, logits.size(), "token id"));
  LC_RETURN_IF_ERROR(
      CheckRange("top_logprobs", static_cast<float>(top_logprobs), top_logprobs >= 0, "0 or more"));
  LC_ASSIGN_OR_RETURN(const float max, CheckedMax(logits));
  Report report = MakeReport(logits, max, top_logprobs);
  return SampledToken{token_id, static_cast<float>(logits[token_id] - report.log_sum),
                      std::move(report.top)};
}

std::optional<LogitQuery> QueryToSample(const SamplingSettings& settings) {
  const bool penalties = settings.repetition_penalty != 1 || settings.presence_penalty != 0 ||
                         settings.frequency_penalty != 0;
  const size_t num_penalized = penalties ? settings.history_ids.size() : 0;
  if (settings.logprobs && settings.banned_ids.size() + num_penalized > 0) return std::nullopt;
  const bool draws = settings.temperature > 0 && !IsGreedy(settings);
  return LogitQuery{.num_banned = static_cast<int32_t>(settings.banned_ids.size()),
                    .num_penalized = static_cast<int32_t>(num_penalized),
                    .repetition_penalty = settings.repetition_penalty,
                    .presence_penalty = settings.presence_penalty,
                    .frequency_penalty = settings.frequency_penalty,
                    .scale = draws ? 1 / settings.temperature : 0,
                    .plain = settings.logprobs ? 1 : 0};
}

SamplingSettings OfChangedRow(SamplingSettings settings) {
  settings.history_ids = {};
  settings.history_counts = {};
  settings.banned_ids = {};
  return settings;
}

LogitQuery QueryToScore(int32_t token_id) { return {.plain = 1, .token_id = token_id}; }

absl::StatusOr<std::optional<SampledToken>> SampleSummarized(const SummarizedRow& row,
                                                             const SamplingSettings& settings,
                                                             int64_t position) {
  LC_RETURN_IF_ERROR(CheckSettings(settings, static_cast<size_t>(row.vocab_size)));
  LC_RETURN_IF_ERROR(CheckSummary(row));
  if (row.summary.num_likeliest < 0) return std::nullopt;
  std::optional<std::vector<TokenLogprob>> top;
  if (settings.logprobs) {
    top = Largest(row.summary, static_cast<size_t>(settings.top_logprobs));
    if (!top.has_value()) return std::nullopt;
  }
  LC_ASSIGN_OR_RETURN(const std::optional<int32_t> drawn, DrawToken(row, settings, position));
  if (!drawn.has_value()) return std::nullopt;
  SampledToken token = {.token_id = *drawn};
  if (!settings.logprobs) return token;
  LC_ASSIGN_OR_RETURN(const float logit, LogitOf(row, *drawn));
  Report report = MakeReport(row.summary.likeliest[0].logit, Sum(row.plain_sums), *std::move(top));
  token.logprob = static_cast<float>(logit - report.log_sum);
  token.top = std::move(report.top);
  return token;
}

absl::StatusOr<std::optional<SampledToken>> ScoreSummarized(const SummarizedRow& row,
                                                            int32_t token_id,
                                                            int32_t top_logprobs) {
  LC_RETURN_IF_ERROR(CheckIds({&token_id, 1}, static_cast<size_t>(row.vocab_size), "token id"));
  LC_RETURN_IF_ERROR(
      CheckRange("top_logprobs", static_cast<float>(top_logprobs), top_logprobs >= 0, "0 or more"));
  LC_RETURN_IF_ERROR(CheckSummary(row));
  auto top = Largest(row.summary, static_cast<size_t>(top_logprobs));
  if (row.summary.num_likeliest < 0 || !top.has_value()) return std::nullopt;
  Report report = MakeReport(row.summary.likeliest[0].logit, Sum(row.plain_sums), *std::move(top));
  return SampledToken{token_id, static_cast<float>(row.summary.token_logit - report.log_sum),
                      std::move(report.top)};
}

}  // namespace layercake
