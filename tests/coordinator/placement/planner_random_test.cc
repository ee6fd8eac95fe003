// Random small clusters: every plan is checked against an accounting and an enumeration of its own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/cost_model.h"
#include "coordinator/placement/planner.h"
#include "tests/coordinator/placement/fixtures.h"
#include "tests/testing/status_matchers.h"

namespace layercake {
namespace {

struct Case {
  ModelConfig model;
  std::vector<PlannerDevice> devices;
  std::vector<v1::Link> links;
  v1::PlanOptions options;

  absl::StatusOr<v1::Plan> Plan() const {
    return MakePlan(model, {devices, links}, options, "tiny");
  }
};

Case RandomCase(std::mt19937& random) {
  Case c;
  c.model = TinyModel(Draw(random, 1, 7));
  c.model.vocab_size = Draw(random, 1, 4) * 500;
  c.model.tied_embeddings = Draw(random, 0, 1) == 1;
  const int num_devices = Draw(random, 1, 4);
  for (int i = 0; i < num_devices; ++i) {
    const double bytes = Draw(random, 200, 3000) * 1024.0;
    const double speed = Draw(random, 0, 2) == 0 ? 1e9 : Draw(random, 1, 40) * 1e8;
    const std::string name = absl::StrCat("d", i);
    c.devices.push_back(Draw(random, 0, 1) == 0 ? Cpu(name, bytes, speed)
                                                : Gpu(name, bytes, speed));
    c.devices.back().profile.set_flops_per_second(Draw(random, 1, 100) * 1e8);
    if (Draw(random, 0, 3) == 0)
      c.devices.back().device.set_cap_bytes(Draw(random, 100, 3000) * 1024);
  }
  c.links = RandomLinks(random, c.devices);
  if (Draw(random, 0, 3) == 0) {
    (*c.options.mutable_max_memory_bytes())[""] = Draw(random, 300, 2000) * 1024;
  }
  for (const char* name : {"", "d0", "d1"}) {
    if (Draw(random, 0, 2) > 0 || (*name == 'd' && name[1] - '0' >= num_devices)) continue;
    (*c.options.mutable_reserve_bytes())[name] = Draw(random, 0, 50) * 1024;
  }
  c.options.set_context_tokens(Draw(random, 1, 256));
  c.options.set_batch_sequences(Draw(random, 1, 8));
  c.options.set_step_tokens(Draw(random, 8, 64));
  return c;
}

StageLimits LimitsOf(const Case& c) {
  return {.max_step_tokens = c.options.step_tokens(),
          .max_batch_sequences = c.options.batch_sequences(),
          .max_context_tokens = c.options.context_tokens(),
          .block_size_tokens = 16,
          .kv_dtype = DType::kF32};
}

int64_t Available(const Case& c, const PlannerDevice& device) {
  uint64_t bytes = device.device.free_bytes();
  if (device.device.cap_bytes() > 0) bytes = std::min(bytes, device.device.cap_bytes());
  const auto all = c.options.max_memory_bytes().find("");
  if (all != c.options.max_memory_bytes().end()) bytes = std::min(bytes, all->second);
  return static_cast<int64_t>(bytes);
}

int64_t Reserve(const Case& c, const PlannerDevice& device) {
  const int64_t available = Available(c, device);
  for (const std::string& name : {device.name, std::string()}) {
    const auto asked = c.options.reserve_bytes().find(name);
    if (asked == c.options.reserve_bytes().end()) continue;
    return std::min(available, static_cast<int64_t>(asked->second));
  }
  return std::min(available / 10,
                  int64_t{device.device.kind() == v1::DEVICE_KIND_CPU ? 64 : 256} << 20);
}

// Bytes of a row-major f32 matrix as the format of a checkpoint has it, and as workers hold it: in
// panels of 64 rows, allocated in multiples of 64 bytes.
int64_t Matrix(int64_t rows, int64_t cols) { return (rows * cols * 4 + 63) / 64 * 64; }
int64_t Packed(int64_t rows, int64_t cols) { return Matrix((rows + 63) / 64 * 64, cols); }

// An accounting of its own: the tensors of a Llama checkpoint in f32, blocks of keys and values,
// and what a step needs beside them.
int64_t StageBytes(const Case& c, const StageChoice& stage, int64_t blocks) {
  const ModelConfig& model = c.model;
  const int64_t hidden = model.hidden_dim;
  const int64_t heads = model.num_heads * model.head_dim;
  const int64_t kv_heads = model.num_kv_heads * model.head_dim;
  const int64_t qkv = heads + 2 * kv_heads;
  const int64_t layer = 2 * Matrix(1, hidden) + Packed(qkv, hidden) + Packed(hidden, heads) +
                        Packed(2 * model.intermediate_dim, hidden) +
                        Packed(hidden, model.intermediate_dim);
  const int64_t block = 2 * Matrix(16, kv_heads);
  const int64_t tokens = c.options.step_tokens();
  int64_t bytes = stage.count * (layer + blocks * block);
  if (stage.first == 0) bytes += Matrix(model.vocab_size, hidden);
  bytes += 2 * Matrix(tokens, hidden) + Matrix(tokens, qkv) + Matrix(tokens, heads) +
           Matrix(tokens, model.head_dim) + Matrix(tokens, 2 * model.intermediate_dim);
  const int64_t batch = c.options.batch_sequences();
  // Four words for each token, and the block numbers of each sequence.
  bytes += Matrix(1, 4 * tokens + batch * ((c.options.context_tokens() + 15) / 16));
  // Two steps on their way from the stage before, and to the next.
  if (stage.first > 0) bytes += 2 * Matrix(tokens, hidden);
  if (stage.first + stage.count < model.num_layers) {
    bytes += 2 * Matrix(tokens, hidden);
  } else {
    bytes += Matrix(1, hidden) + Packed(model.vocab_size, hidden);
    bytes += Matrix(batch, hidden) + Matrix(batch, model.vocab_size);
  }
  return bytes;
}

bool Holds(const Case& c, const std::vector<StageChoice>& stages, int64_t blocks) {
  return std::all_of(stages.begin(), stages.end(), [&](const StageChoice& stage) {
    const PlannerDevice& device = c.devices[stage.device];
    return StageBytes(c, stage, blocks) <= Available(c, device) - Reserve(c, device);
  });
}

int64_t ContextBlocks(const Case& c) { return (c.options.context_tokens() + 15) / 16; }

std::vector<StageChoice> StagesOf(const Case& c, const v1::Plan& plan) {
  std::vector<StageChoice> stages;
  for (const v1::StagePlan& stage : plan.stages()) {
    const auto found =
        std::find_if(c.devices.begin(), c.devices.end(),
                     [&stage](const PlannerDevice& d) { return d.name == stage.worker(); });
    stages.push_back({.device = static_cast<int>(found - c.devices.begin()),
                      .first = stage.first_layer(),
                      .count = stage.num_layers()});
  }
  return stages;
}

// In every replica layers in order, each once, and equally many blocks; bytes as claimed; caps,
// reserve and context kept.
void ExpectSound(const Case& c, const v1::Plan& plan) {
  const std::vector<StageChoice> stages = StagesOf(c, plan);
  std::map<int, int> times_used;
  int next = 0;
  int first = 0;  // stage of the replica
  int replica = 0;
  for (int i = 0; i < plan.stages_size(); ++i) {
    const v1::StagePlan& stage = plan.stages(i);
    if (next == c.model.num_layers) {
      next = 0;
      first = i;
      ++replica;
    }
    ASSERT_EQ(stage.replica(), replica);
    ASSERT_LT(stages[i].device, static_cast<int>(c.devices.size()));
    ASSERT_EQ(++times_used[stages[i].device], 1);
    ASSERT_EQ(stage.first_layer(), next);
    ASSERT_GE(stage.num_layers(), 1);
    next += stage.num_layers();
    const PlannerDevice& device = c.devices[stages[i].device];
    ASSERT_EQ(stage.available_bytes(), Available(c, device));
    ASSERT_EQ(stage.reserve_bytes(), Reserve(c, device));
    ASSERT_EQ(stage.weight_bytes() + stage.workspace_bytes() + stage.kv_bytes(),
              StageBytes(c, stages[i], stage.num_blocks()));
    ASSERT_EQ(stage.num_blocks(), plan.stages(first).num_blocks());
    ASSERT_TRUE(Holds(c, {stages[i]}, stage.num_blocks()));
    ASSERT_GE(stage.num_blocks(), ContextBlocks(c));
    ASSERT_EQ(stage.has_embedding(), stage.first_layer() == 0);
    ASSERT_EQ(stage.has_head(), next == c.model.num_layers);
    ASSERT_FALSE(stage.reason().empty());
  }
  ASSERT_EQ(next, c.model.num_layers);
  ASSERT_EQ(plan.num_replicas(), replica + 1);
  ASSERT_EQ(plan.stages_size() + plan.excluded_size(), static_cast<int>(c.devices.size()));
  for (const v1::ExcludedDevice& excluded : plan.excluded())
    ASSERT_FALSE(excluded.reason().empty());
}

double Seconds(const Case& c, const StageChoice& stage, int64_t sequences) {
  const PlannerDevice& device = c.devices[stage.device];
  return CostModel(c.model, LimitsOf(c))
      .DecodeSeconds(SpeedOf(device.device, device.profile), stage.first, stage.count, sequences);
}

// Of handing f32 activations on, over the link given for that way, else for the way back, else a
// guess.
double LinkSeconds(const Case& c, const StageChoice& from, const StageChoice& to,
                   int64_t sequences) {
  double latency = 200e-6;
  double bandwidth = 118e6;
  const std::string& a = c.devices[from.device].name;
  const std::string& b = c.devices[to.device].name;
  bool found = false;
  for (const v1::Link& link : c.links) {
    const bool forth = link.from() == a && link.to() == b;
    const bool back = link.from() == b && link.to() == a;
    if (!forth && (!back || found)) continue;
    found = forth;
    latency = link.latency_seconds();
    bandwidth = link.bandwidth_bytes_per_second();
  }
  return latency + static_cast<double>(sequences * c.model.hidden_dim * 4) / bandwidth;
}

double Slowest(const Case& c, const std::vector<StageChoice>& stages, int64_t sequences) {
  double slowest = 0;
  for (const StageChoice& stage : stages) slowest = std::max(slowest, Seconds(c, stage, sequences));
  for (size_t i = 1; i < stages.size(); ++i) {
    slowest = std::max(slowest, LinkSeconds(c, stages[i - 1], stages[i], sequences));
  }
  return slowest;
}

double SumOf(const Case& c, const std::vector<StageChoice>& stages, int64_t sequences) {
  double sum = 0;
  for (const StageChoice& stage : stages) sum += Seconds(c, stage, sequences);
  for (size_t i = 1; i < stages.size(); ++i) {
    sum += LinkSeconds(c, stages[i - 1], stages[i], sequences);
  }
  return sum;
}

TEST(PlannerRandomTest, LatencyIsTheSmallestOfAllPipelinesThatFit) {
  std::mt19937 random(7);
  int planned = 0;
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    Case c = RandomCase(random);
    c.options.set_objective(v1::PlanOptions::OBJECTIVE_LATENCY);
    double best = kDoesNotFit;
    ForEachPipeline(static_cast<int>(c.devices.size()), static_cast<int>(c.model.num_layers),
                    [&](const std::vector<StageChoice>& stages) {
                      if (!Holds(c, stages, ContextBlocks(c))) return;
                      best = std::min(best, SumOf(c, stages, 1));
                    });
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    if (best == kDoesNotFit) {
      ++refused;
      ASSERT_THAT(plan, StatusIs(absl::StatusCode::kResourceExhausted,
                                 ::testing::HasSubstr("tiny does not fit")))
          << "case " << i;
      continue;
    }
    ++planned;
    ASSERT_OK(plan) << "case " << i;
    ExpectSound(c, *plan);
    ASSERT_NEAR(plan->predicted_token_seconds(), best, best * 1e-9) << "case " << i;
  }
  EXPECT_GT(planned, 1000);
  EXPECT_GT(refused, 300);
}

// Seconds from step to step with as many steps in flight as stages.
double Cycle(const Case& c, const std::vector<StageChoice>& stages, int64_t sequences) {
  return std::max(Slowest(c, stages, sequences),
                  SumOf(c, stages, sequences) / static_cast<double>(stages.size()));
}

// Tokens per second of `stages` with room for `blocks`, as the room's README defines it.
double Rate(const Case& c, const std::vector<StageChoice>& stages, int64_t blocks) {
  const int64_t num_stages = static_cast<int64_t>(stages.size());
  const int64_t sequences = blocks / ContextBlocks(c);
  const int64_t in_flight = std::min(num_stages, sequences);
  const int64_t per_step =
      std::max<int64_t>(1, std::min<int64_t>(c.options.batch_sequences(), sequences / num_stages));
  return static_cast<double>(per_step * in_flight) /
         std::max(SumOf(c, stages, per_step),
                  static_cast<double>(in_flight) * Slowest(c, stages, per_step));
}

// The smallest cycle with room for `blocks`, over all pipelines: seconds from step to step.
double SmallestCycle(const Case& c, int64_t blocks, int64_t sequences) {
  double smallest = kDoesNotFit;
  ForEachPipeline(static_cast<int>(c.devices.size()), static_cast<int>(c.model.num_layers),
                  [&](const std::vector<StageChoice>& stages) {
                    if (!Holds(c, stages, blocks)) return;
                    smallest = std::min(smallest, Cycle(c, stages, sequences));
                  });
  return smallest;
}

bool FollowsOrder(const Case& c, const std::vector<StageChoice>& stages) {
  int before = -1;
  for (const StageChoice& stage : stages) {
    const auto& order = c.options.order();
    const auto found = std::find(order.begin(), order.end(), c.devices[stage.device].name);
    const int place = static_cast<int>(found - order.begin());
    if (!order.empty() && place < before) return false;
    before = place;
  }
  return true;
}

// The highest tokens per second of all divisions of the devices into as many pipelines, each with
// all the blocks that its stages hold: [number], 0 where there are none.
std::vector<double> HighestRates(const Case& c) {
  const int num_devices = static_cast<int>(c.devices.size());
  std::vector<double> of_set(size_t{1} << num_devices, 0);
  ForEachPipeline(num_devices, static_cast<int>(c.model.num_layers),
                  [&](const std::vector<StageChoice>& stages) {
                    if (!FollowsOrder(c, stages)) return;
                    int64_t blocks = c.options.batch_sequences() *
                                     static_cast<int64_t>(stages.size()) * ContextBlocks(c);
                    while (blocks >= ContextBlocks(c) && !Holds(c, stages, blocks)) --blocks;
                    if (blocks < ContextBlocks(c)) return;
                    size_t set = 0;
                    for (const StageChoice& stage : stages) set |= size_t{1} << stage.device;
                    of_set[set] = std::max(of_set[set], Rate(c, stages, blocks));
                  });
  std::vector<double> highest(num_devices + 1, 0);
  const std::function<void(size_t, size_t, int, double)> divide = [&](size_t left, size_t below,
                                                                      int number, double rate) {
    highest[number] = std::max(highest[number], rate);
    for (size_t set = 1; set < below; ++set) {
      if ((set & left) != set || of_set[set] == 0) continue;
      divide(left & ~set, set, number + 1, rate + of_set[set]);
    }
  };
  divide(of_set.size() - 1, of_set.size(), 0, 0);
  return highest;
}

bool Same(double a, double b) { return std::abs(a - b) <= 1e-9 * a; }

TEST(PlannerRandomTest, ThroughputIsTheHighestOfAllPipelines) {
  std::mt19937 random(11);
  int planned = 0;
  for (int i = 0; i < 600; ++i) {
    Case c = RandomCase(random);
    c.options.set_replicas(1);
    if (i % 4 == 0) {
      std::vector<std::string> names;
      for (const PlannerDevice& device : c.devices) names.push_back(device.name);
      std::shuffle(names.begin(), names.end(), random);
      for (const std::string& name : names) c.options.add_order(name);
    }
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    const double best = HighestRates(c)[1];
    if (best == 0) {
      ASSERT_THAT(plan, StatusIs(absl::StatusCode::kResourceExhausted)) << "case " << i;
      continue;
    }
    ++planned;
    ASSERT_OK(plan) << "case " << i;
    ExpectSound(c, *plan);
    ASSERT_EQ(plan->optimality_gap(), 0);
    const double rate = plan->predicted_tokens_per_second();
    EXPECT_NEAR(rate, Rate(c, StagesOf(c, *plan), plan->stages(0).num_blocks()), 1e-9 * rate);
    ASSERT_PRED2(Same, rate, best) << "case " << i;
  }
  EXPECT_GT(planned, 200);
}

TEST(PlannerRandomTest, ThroughputIsTheHighestOfAllDivisions) {
  std::mt19937 random(12);
  int several = 0;
  for (int i = 0; i < 600; ++i) {
    Case c = RandomCase(random);
    const std::vector<double> best = HighestRates(c);
    const double most = *std::max_element(best.begin(), best.end());
    if (most == 0) continue;
    // As few as come near.
    int fewest = 1;
    while (best[fewest] < most / 1.02) ++fewest;
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    ASSERT_OK(plan) << "case " << i;
    ASSERT_EQ(plan->num_replicas(), fewest) << "case " << i;
    ASSERT_NEAR(plan->optimality_gap(), most / best[fewest] - 1, 1e-9) << "case " << i;
    ASSERT_PRED2(Same, plan->predicted_tokens_per_second(), best[fewest]) << "case " << i;
    several += fewest > 1 ? 1 : 0;
    const int number = static_cast<int>(1 + i % c.devices.size());
    c.options.set_replicas(number);
    const absl::StatusOr<v1::Plan> of_number = c.Plan();
    if (best[number] == 0) {
      ASSERT_THAT(of_number, StatusIs(absl::StatusCode::kResourceExhausted)) << "case " << i;
      continue;
    }
    ASSERT_OK(of_number) << "case " << i;
    ASSERT_EQ(of_number->num_replicas(), number);
    ASSERT_PRED2(Same, of_number->predicted_tokens_per_second(), best[number]) << "case " << i;
  }
  EXPECT_GT(several, 60);
}

TEST(PlannerRandomTest, AmpleMemoryGivesTheSmallestCycleAtFullBatch) {
  std::mt19937 random(13);
  for (int i = 0; i < 1500; ++i) {
    Case c = RandomCase(random);
    c.options.set_replicas(1);
    c.options.clear_max_memory_bytes();
    for (PlannerDevice& device : c.devices) {
      device.device.clear_cap_bytes();
      device.device.set_free_bytes(uint64_t{1} << 30);
    }
    LC_ASSERT_OK_AND_ASSIGN(const v1::Plan plan, c.Plan());
    const int64_t batch = c.options.batch_sequences();
    const double rate = static_cast<double>(batch) / SmallestCycle(c, ContextBlocks(c), batch);
    ASSERT_NEAR(plan.predicted_tokens_per_second(), rate, 1e-9 * rate) << "case " << i;
  }
}

TEST(PlannerRandomTest, ReplicasKeepEveryCapToo) {
  std::mt19937 random(29);
  int several = 0;
  int unlike = 0;
  for (int i = 0; i < 1500; ++i) {
    Case c = RandomCase(random);
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    if (!plan.ok()) continue;
    ExpectSound(c, *plan);
    several += plan->num_replicas() > 1 ? 1 : 0;
    unlike += plan->stages(0).num_blocks() != plan->stages().rbegin()->num_blocks() ? 1 : 0;
    c.options.set_replicas(1);
    LC_ASSERT_OK_AND_ASSIGN(const v1::Plan single, c.Plan());
    ASSERT_GE(plan->predicted_tokens_per_second() * 1.05 * (1 + 1e-9),
              single.predicted_tokens_per_second())
        << "case " << i;
  }
  EXPECT_GT(several, 100);
  EXPECT_GT(unlike, 50);
}

TEST(PlannerRandomTest, EveryPolicyKeepsEveryCapAndRefusesOnlyWhatDoesNotFit) {
  std::mt19937 random(17);
  int planned = 0;
  for (int i = 0; i < 3000; ++i) {
    Case c = RandomCase(random);
    c.options.set_policy(static_cast<v1::PlanOptions::Policy>(Draw(random, 1, 3)));
    if (c.options.policy() == v1::PlanOptions::POLICY_PROPORTIONAL && Draw(random, 0, 1) == 1) {
      for (size_t d = 0; d < c.devices.size(); ++d) c.options.add_split(Draw(random, 1, 9));
    }
    bool fits = false;
    ForEachPipeline(static_cast<int>(c.devices.size()), static_cast<int>(c.model.num_layers),
                    [&](const std::vector<StageChoice>& stages) {
                      for (size_t s = 1; s < stages.size(); ++s) {
                        if (stages[s].device < stages[s - 1].device) return;
                      }
                      fits |= Holds(c, stages, ContextBlocks(c));
                    });
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    ASSERT_EQ(plan.ok(), fits) << "case " << i << ": " << plan.status();
    if (!fits) continue;
    ++planned;
    ExpectSound(c, *plan);
  }
  EXPECT_GT(planned, 1000);
}

TEST(PlannerRandomTest, ThePlanDoesNotDependOnTheOrderOfTheDevicesGiven) {
  std::mt19937 random(19);
  for (int i = 0; i < 500; ++i) {
    Case c = RandomCase(random);
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    std::shuffle(c.devices.begin(), c.devices.end(), random);
    const absl::StatusOr<v1::Plan> shuffled = c.Plan();
    ASSERT_EQ(plan.status(), shuffled.status());
    if (!plan.ok()) continue;
    ASSERT_EQ(plan->SerializeAsString(), shuffled->SerializeAsString());
  }
}

TEST(PlannerRandomTest, ContextLeftOpenIsTheLargestThatFits) {
  std::mt19937 random(23);
  int shortened = 0;
  for (int i = 0; i < 600; ++i) {
    Case c = RandomCase(random);
    c.model.max_context_tokens = 2048;
    c.options.set_context_tokens(0);
    const absl::StatusOr<v1::Plan> plan = c.Plan();
    if (!plan.ok()) continue;
    c.options.set_context_tokens(plan->max_context_tokens());
    ExpectSound(c, *plan);
    if (plan->max_context_tokens() == 2048) continue;
    ++shortened;
    EXPECT_GE(plan->max_context_tokens(), 256);
    c.options.set_context_tokens(plan->max_context_tokens() + 16);
    ASSERT_THAT(c.Plan(), StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_GT(shortened, 30);
}

}  // namespace
}  // namespace layercake
