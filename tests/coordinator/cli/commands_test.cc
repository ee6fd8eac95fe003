// The subcommands as a person runs them, against a scripted coordinator.

#include <cstdio>
#include <fstream>
#include <set>

#include "common/options/options.h"
#include "tests/coordinator/cli/fake_coordinator.h"

namespace layercake {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(CliTest, RunStreamsTheTextAndNothingElseToStdout) {
  const Outcome outcome = Run({"run", "In the beginning"});
  EXPECT_EQ(outcome.code, kExitOk);
  EXPECT_EQ(outcome.out, "once upon\n");
  ASSERT_EQ(inference_.generate_requests.size(), 1u);
  EXPECT_EQ(inference_.generate_requests[0].text(), "In the beginning");
  EXPECT_FALSE(inference_.generate_requests[0].options().has_max_tokens());
}

TEST_F(CliTest, RunHandsOnEverySamplingFlag) {
  Run({"run",
       "x",
       "--max-tokens",
       "5",
       "--temperature",
       "0.5",
       "--top-k",
       "3",
       "--top-p",
       "0.9",
       "--min-p",
       "0.1",
       "--repetition-penalty",
       "1.1",
       "--presence-penalty",
       "0.2",
       "--frequency-penalty",
       "0.3",
       "--seed",
       "42",
       "--stop",
       "a,b",
       "--stop",
       "c",
       "--stop-id",
       "7",
       "--ignore-eos",
       "--logprobs",
       "--top-logprobs",
       "2",
       "-n",
       "2",
       "--echo"});
  ASSERT_EQ(inference_.generate_requests.size(), 1u);
  const v1::GenerateOptions& options = inference_.generate_requests[0].options();
  const v1::SamplingParams& sampling = options.sampling();
  EXPECT_EQ(options.max_tokens(), 5);
  EXPECT_FLOAT_EQ(sampling.temperature(), 0.5);
  EXPECT_EQ(sampling.top_k(), 3);
  EXPECT_FLOAT_EQ(sampling.top_p(), 0.9);
  EXPECT_FLOAT_EQ(sampling.min_p(), 0.1);
  EXPECT_FLOAT_EQ(sampling.repetition_penalty(), 1.1);
  EXPECT_FLOAT_EQ(sampling.presence_penalty(), 0.2);
  EXPECT_FLOAT_EQ(sampling.frequency_penalty(), 0.3);
  EXPECT_EQ(sampling.seed(), 42u);
  EXPECT_THAT(options.stop(), ElementsAre("a,b", "c"));
  EXPECT_THAT(options.stop_ids(), ElementsAre(7));
  EXPECT_TRUE(options.ignore_eos());
  EXPECT_TRUE(options.logprobs());
  EXPECT_EQ(options.top_logprobs(), 2);
  EXPECT_EQ(options.n(), 2);
  EXPECT_TRUE(options.echo());
}

TEST_F(CliTest, RunShowsSeveralCompletionsUnderHeadings) {
  EXPECT_EQ(Run({"run", "x", "-n", "2"}).out, "--- 1\nonce upon\n--- 2\nonce upon\n");
}

TEST_F(CliTest, RunReadsThePromptFromAFile) {
  const std::string path = ::testing::TempDir() + "/prompt.txt";
  std::ofstream(path) << "from a file";
  EXPECT_EQ(Run({"run", "--file", path}).code, kExitOk);
  EXPECT_EQ(inference_.generate_requests.at(0).text(), "from a file");
  EXPECT_THAT(Run({"run", "--file", path + ".not"}).err, HasSubstr("cannot read"));
  EXPECT_EQ(Run({"run", "x", "--file", path}).code, kExitUsage);
}

TEST_F(CliTest, RunStatsGoToStderr) {
  const Outcome outcome = Run({"run", "x", "--stats"});
  EXPECT_EQ(outcome.out, "once upon\n");
  EXPECT_THAT(outcome.err, HasSubstr("2 generated at 53.2 tokens/s"));
}

TEST_F(CliTest, JsonOutputIsProtobufJson) {
  const Outcome outcome = Run({"run", "x", "-o", "json"});
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\"model\": \"fake\""), HasSubstr("once upon")));
}

TEST_F(CliTest, ErrorsShowTheirDetails) {
  inference_.end =
      WithRetryAfter(WithReason(WithField(absl::InvalidArgumentError("temperature is -1"),
                                          "options.sampling.temperature", "must be at least 0"),
                                "BAD_SAMPLING"),
                     absl::Seconds(2));
  const Outcome outcome = Run({"run", "x"});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_EQ(outcome.out, "once upon\n");
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("layercake: temperature is -1\n"),
                    HasSubstr("  options.sampling.temperature: must be at least 0\n"),
                    HasSubstr("  reason: BAD_SAMPLING\n"), HasSubstr("trying again in 2s")));
}

TEST_F(CliTest, NoCoordinatorIsSaidWithAWayOut) {
  server_.Shutdown();
  const Outcome outcome = Run({"status"});
  EXPECT_EQ(outcome.code, kExitFailure);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("no coordinator at " + server_.address()),
                                 HasSubstr("layercake serve MODEL_DIR")));
}

TEST_F(CliTest, ServersOwnUnavailableIsNotTakenForAMissingServer) {
  inference_.end = absl::UnavailableError("worker cpu-1 was lost");
  const Outcome outcome = Run({"run", "x"});
  EXPECT_EQ(outcome.code, kExitFailure);
  EXPECT_THAT(outcome.err, HasSubstr("layercake: worker cpu-1 was lost"));
}

TEST_F(CliTest, UnknownFlagsAndCommandsAreUsageErrors) {
  EXPECT_EQ(Run({"run", "x", "--no-such-flag"}).code, kExitUsage);
  EXPECT_EQ(Run({"fly"}).code, kExitUsage);
  EXPECT_EQ(Run({}).code, kExitUsage);
  EXPECT_EQ(Run({"run", "x", "--temperature", "warm"}).code, kExitUsage);
  EXPECT_THAT(inference_.generate_requests, IsEmpty());
}

TEST_F(CliTest, AddressMayComeBeforeTheSubcommand) {
  const std::vector<const char*> argv = {"layercake", "--address", server_.address().c_str(),
                                         "status"};
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(RunCommandLine(static_cast<int>(argv.size()), argv.data()), kExitOk);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr("no workers"));
}

TEST_F(CliTest, ChatAnswersOneMessage) {
  const Outcome outcome = Run({"chat", "hello", "--system", "Be brief.", "--max-tokens", "9"});
  EXPECT_EQ(outcome.out, "once upon\n");
  ASSERT_EQ(inference_.chat_requests.size(), 1u);
  const v1::ChatRequest& request = inference_.chat_requests[0];
  ASSERT_EQ(request.messages_size(), 2);
  EXPECT_EQ(request.messages(0).role(), "system");
  EXPECT_EQ(request.messages(0).content(), "Be brief.");
  EXPECT_EQ(request.messages(1).content(), "hello");
  EXPECT_EQ(request.options().max_tokens(), 9);
}

TEST_F(CliTest, StatusShowsWorkersAndLoad) {
  admin_.status.set_model("demo");
  admin_.status.set_state(v1::SERVING_STATE_READY);
  admin_.status.set_total_blocks(64);
  admin_.status.set_free_blocks(60);
  v1::StagePlan* stage = admin_.status.mutable_plan()->add_stages();
  stage->set_worker("cpu-0");
  stage->set_num_layers(4);
  stage->set_has_embedding(true);
  v1::WorkerStatus* worker = admin_.status.add_workers();
  worker->set_name("cpu-0");
  worker->set_state(v1::WORKER_STATE_READY);
  worker->mutable_device()->set_free_bytes(1 << 20);
  v1::WorkerStatus* lost = admin_.status.add_workers();
  lost->set_name("cpu-1");
  lost->set_state(v1::WORKER_STATE_LOST);
  lost->set_detail("its stream broke");
  const Outcome outcome = Run({"status"});
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("demo: ready"), HasSubstr("60 of 64 KV blocks free"),
                    HasSubstr("embed+0-3"), HasSubstr("1.00 MiB"), HasSubstr("its stream broke")));
  EXPECT_THAT(Run({"status", "-o", "json"}).out, HasSubstr("\"SERVING_STATE_READY\""));
}

TEST_F(CliTest, StatusShowsOverWhatEachStageHandsOnAndWhy) {
  admin_.status.set_state(v1::SERVING_STATE_READY);
  for (const char* worker : {"m40", "p106", "t4"}) {
    admin_.status.add_workers()->set_name(worker);
    admin_.status.mutable_plan()->add_stages()->set_worker(worker);
  }
  EXPECT_THAT(Run({"status"}).out, Not(HasSubstr("activations")));
  admin_.status.mutable_plan()->mutable_stages(0)->set_link("nccl");
  admin_.status.mutable_plan()->mutable_stages(1)->set_link("grpc");
  admin_.status.mutable_plan()->mutable_stages(1)->set_link_reason("t4: no NCCL");
  EXPECT_THAT(Run({"status"}).out, HasSubstr("activations over    between\n"
                                             "nccl                m40 -> p106\n"
                                             "grpc (t4: no NCCL)  p106 -> t4\n"));
  EXPECT_THAT(Run({"status", "-o", "json"}).out, HasSubstr("\"linkReason\": \"t4: no NCCL\""));
}

TEST_F(CliTest, StatusShowsEachReplica) {
  admin_.status.set_state(v1::SERVING_STATE_READY);
  admin_.status.set_total_blocks(64);
  admin_.status.mutable_plan()->set_num_replicas(2);
  for (int i = 0; i < 2; ++i) {
    const std::string worker = i == 0 ? "m40" : "p106";
    admin_.status.add_workers()->set_name(worker);
    v1::StagePlan* stage = admin_.status.mutable_plan()->add_stages();
    stage->set_worker(worker);
    stage->set_num_layers(4);
    stage->set_replica(i);
    admin_.status.add_replicas()->set_replica(i);
  }
  v1::ReplicaStatus* serving = admin_.status.mutable_replicas(0);
  serving->set_ready(true);
  serving->set_running_sequences(3);
  serving->set_free_blocks(10);
  serving->set_total_blocks(32);
  const std::string out = Run({"status"}).out;
  EXPECT_THAT(out, HasSubstr("replica 0: 3 running, 0 waiting; 10 of 32 KV blocks free"));
  EXPECT_THAT(out, HasSubstr("replica 1: loading"));
  EXPECT_THAT(out, HasSubstr("replica 1: 0-3"));
}

v1::Plan SmallPlan() {
  v1::Plan plan;
  plan.set_model("demo");
  plan.set_policy("auto");
  plan.add_stages()->set_worker("cpu-0");
  plan.mutable_stages(0)->set_num_layers(2);
  return plan;
}

TEST_F(CliTest, PlanAsksTheClusterWithTheFlagsGiven) {
  admin_.plan = SmallPlan();
  const Outcome outcome =
      Run({"plan", "--model", "/no/such/dir", "--split", "2,1", "--context", "512"});
  EXPECT_THAT(outcome.out, HasSubstr("Plan for demo"));
  EXPECT_EQ(admin_.plan_request.model_dir(), "/no/such/dir");
  EXPECT_THAT(admin_.plan_request.options().split(), ElementsAre(2, 1));
  EXPECT_EQ(admin_.plan_request.options().context_tokens(), 512);
}

TEST_F(CliTest, PlanWithoutAModelShowsTheOneInForce) {
  EXPECT_THAT(Run({"plan"}).err, HasSubstr("no plan is in force"));
  *admin_.status.mutable_plan() = SmallPlan();
  EXPECT_THAT(Run({"plan"}).out, HasSubstr("Plan for demo"));
}

TEST_F(CliTest, PlanOfflineNeedsNoCluster) {
  server_.Shutdown();
  const std::string config = ::testing::TempDir() + "/config.json";
  std::ofstream(config) << R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
      "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
      "num_hidden_layers": 32, "num_attention_heads": 32, "max_position_embeddings": 4096,
      "rms_norm_eps": 1e-5, "hidden_act": "silu", "torch_dtype": "float16"})";
  const Outcome outcome = Run({"plan", "--model", config, "--device", "m40=12GB,288GB/s,6.8TFLOPS",
                               "--device", "p106=6GB,192GB/s"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("m40"), HasSubstr("p106"), HasSubstr("Predicted")));
  EXPECT_THAT(Run({"plan", "--model", config, "--device", "p106=6GB"}).err,
              HasSubstr("does not fit"));
  EXPECT_THAT(Run({"plan", "--device", "p106=6GB"}).err, HasSubstr("needs a --model"));
}

TEST_F(CliTest, PlanReadsAClusterFile) {
  server_.Shutdown();
  const std::string config = LAYERCAKE_SOURCE_DIR "/tests/configs/llama-3-8b.json";
  const std::string cluster = ::testing::TempDir() + "/cluster.yaml";
  std::ofstream(cluster) << "devices:\n- {name: big, card: tesla-m40-24gb}\n";
  const Outcome outcome = Run({"plan", "--model", config, "--cluster", cluster});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("Plan for llama-3-8b"), HasSubstr("big"),
                                 HasSubstr("embed+0-31+head")));
  EXPECT_THAT(Run({"plan", "--model", config, "--cluster", cluster, "-o", "json"}).out,
              HasSubstr("\"worker\": \"big\""));
  EXPECT_THAT(Run({"plan", "--model", config, "--cluster", "/no/such.yaml"}).err,
              HasSubstr("cannot read the cluster file /no/such.yaml"));
  EXPECT_THAT(Run({"plan", "--model", config, "--cluster", cluster, "--device", "a=1GB"}).err,
              HasSubstr("drop one"));
  std::ofstream(cluster) << "devices:\n- {name: big, card: tesla-m41}\n";
  const Outcome unknown = Run({"plan", "--model", config, "--cluster", cluster});
  EXPECT_EQ(unknown.code, kExitUsage);
  EXPECT_THAT(unknown.err,
              AllOf(HasSubstr("cluster.yaml:2"), HasSubstr("did you mean tesla-m40?")));
}

TEST_F(CliTest, PlanSizesModelsThatNoWorkerRunsYet) {
  const std::string config = LAYERCAKE_SOURCE_DIR "/tests/configs/kimi-k2.json";
  const Outcome outcome = Run({"plan", "--model", config, "--device", "node=1200GiB"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("embed+0-60+head"));
}

TEST_F(CliTest, PlanListsCards) {
  EXPECT_THAT(Run({"plan", "--list-cards"}).out, HasSubstr("tesla-m40"));
}

TEST_F(CliTest, LoadShowsThePlanOrTheError) {
  admin_.plan = SmallPlan();
  const Outcome outcome = Run({"load", "/models/m", "--model-name", "mine", "--batch", "4"});
  EXPECT_THAT(outcome.out, HasSubstr("Plan for demo"));
  EXPECT_EQ(admin_.load_request.model_dir(), "/models/m");
  EXPECT_EQ(admin_.load_request.name(), "mine");
  EXPECT_EQ(admin_.load_request.options().batch_sequences(), 4);
  admin_.load_end = absl::ResourceExhaustedError("short by 1 GiB");
  const Outcome refused = Run({"load", "/models/m"});
  EXPECT_EQ(refused.code, kExitFailure);
  EXPECT_THAT(refused.err, HasSubstr("short by 1 GiB"));
}

TEST_F(CliTest, DrainSaysWhenSequencesRemain) {
  EXPECT_THAT(Run({"drain"}).out, HasSubstr("drained"));
  EXPECT_FALSE(admin_.drain_request.has_timeout());
  admin_.remaining_sequences = 3;
  const Outcome outcome = Run({"drain", "--timeout", "1.5"});
  EXPECT_EQ(outcome.code, kExitFailure);
  EXPECT_THAT(outcome.err, HasSubstr("3 sequences still run"));
  EXPECT_EQ(admin_.drain_request.timeout().seconds(), 1);
  EXPECT_EQ(admin_.drain_request.timeout().nanos(), 500'000'000);
}

TEST_F(CliTest, TokenizeShowsIdsAndTokens) {
  const Outcome outcome = Run({"tokenize", "Hi"});
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("72  \"H\""), HasSubstr("105  \"i\""), HasSubstr("2 tokens")));
}

TEST_F(CliTest, BenchReportsWhatItMeasured) {
  const Outcome outcome = Run({"bench", "--requests", "6", "--concurrency", "3", "--prompt-tokens",
                               "10", "--output-tokens", "2", "-o", "json"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\"promptTokens\": 60"),
                                 HasSubstr("\"outputTokens\": 12"), HasSubstr("\"errors\": 0")));
  ASSERT_EQ(inference_.generate_requests.size(), 7u);
  for (const v1::GenerateRequest& request : inference_.generate_requests) {
    EXPECT_EQ(request.token_ids().ids_size(), 10);
    EXPECT_TRUE(request.options().ignore_eos());
    EXPECT_EQ(request.options().max_tokens(), 2);
    for (const int32_t id : request.token_ids().ids()) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, 100);
    }
  }
}

TEST_F(CliTest, BenchCountsErrorsAndFails) {
  inference_.end = absl::ResourceExhaustedError("the queue is full");
  const Outcome outcome =
      Run({"bench", "--requests", "2", "--prompt-tokens", "4", "--output-tokens", "2"});
  EXPECT_EQ(outcome.code, kExitFailure);
  EXPECT_THAT(outcome.out, HasSubstr("2: the queue is full"));
  EXPECT_THAT(Run({"bench", "--prompt-tokens", "100"}).err, HasSubstr("more than the context"));
}

TEST_F(CliTest, BenchDrawsArrivalsAndLengths) {
  const Outcome outcome = Run({"bench", "--requests", "20", "--arrival-rate", "2000",
                               "--prompt-tokens", "3-6", "--output-tokens", "2", "--warmup", "0"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("20 requests, 2000 a second, 3-6 prompt and 2 output tokens"));
  std::set<int> lengths;
  for (const v1::GenerateRequest& request : inference_.generate_requests) {
    lengths.insert(request.token_ids().ids_size());
  }
  EXPECT_EQ(inference_.generate_requests.size(), 20u);
  EXPECT_GE(*lengths.begin(), 3);
  EXPECT_LE(*lengths.rbegin(), 6);
  EXPECT_GT(lengths.size(), 1u);
}

TEST_F(CliTest, BenchRefusesLoadsThatMakeNoSense) {
  for (const auto& flags :
       std::vector<std::vector<std::string>>{{"--prompt-tokens", "9-3"},
                                             {"--prompt-tokens", "0"},
                                             {"--output-tokens", "1-2-3"},
                                             {"--arrival-rate", "0"},
                                             {"--arrival-rate", "1", "--concurrency", "2"}}) {
    std::vector<std::string> arguments = {"bench"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_EQ(Run(arguments).code, kExitUsage) << flags[1];
  }
}

TEST_F(CliTest, MeasureShowsLinksAndFailsWhereOneFailed) {
  v1::Link* link = admin_.links.add_links();
  link->set_from("m40");
  link->set_to("p106");
  link->set_latency_seconds(120e-6);
  link->set_bandwidth_bytes_per_second(1.1e9);
  const Outcome good = Run({"measure"});
  EXPECT_EQ(good.code, kExitOk) << good.err;
  EXPECT_THAT(good.out, AllOf(HasSubstr("m40"), HasSubstr("p106"), HasSubstr("120 us"),
                              HasSubstr("1.10 GB/s")));
  admin_.links.add_failures("p106 to m40: no route");
  const Outcome bad = Run({"measure"});
  EXPECT_EQ(bad.code, kExitFailure);
  EXPECT_THAT(bad.err, HasSubstr("p106 to m40: no route"));
  *admin_.status.add_links() = *link;
  admin_.status.add_workers()->set_name("m40");
  EXPECT_THAT(Run({"status"}).out, AllOf(HasSubstr("m40 -> p106"), HasSubstr("1.10 GB/s")));
}

TEST_F(CliTest, PlanTellsWhatWouldChangeAndHowToHaveIt) {
  *admin_.status.mutable_plan() = OneStage("m40");
  admin_.status.mutable_request()->set_model_dir("/models/m");
  admin_.status.mutable_request()->mutable_options()->set_context_tokens(77);
  admin_.plan = OneStage("p106");
  const Outcome outcome = Run({"plan"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("p106: joins with layers 0-11"),
                                 HasSubstr("m40: gives up"), HasSubstr(" load --replace\n")));
  EXPECT_EQ(admin_.plan_request.model_dir(), "/models/m");
  EXPECT_EQ(admin_.plan_request.options().context_tokens(), 77);
  admin_.plan = OneStage("m40");
  EXPECT_THAT(Run({"plan"}).out, Not(HasSubstr("--replace")));
}

TEST_F(CliTest, LoadReplacePlacesTheLoadedModelAnewWithItsOwnFlags) {
  EXPECT_EQ(Run({"load"}).code, kExitUsage);
  EXPECT_THAT(Run({"load", "--replace"}).err, HasSubstr("no model is loaded"));
  admin_.status.mutable_request()->set_model_dir("/models/m");
  admin_.status.mutable_request()->set_name("mine");
  EXPECT_EQ(Run({"load", "--replace"}).code, kExitOk);
  EXPECT_EQ(admin_.load_request.model_dir(), "/models/m");
  EXPECT_EQ(admin_.load_request.name(), "mine");
  EXPECT_TRUE(admin_.load_request.replace());
}

TEST_F(CliTest, SimulatePlaysALoadOnDevicesDescribed) {
  const std::vector<std::string> simulate = {"simulate",
                                             "--model",
                                             LAYERCAKE_SOURCE_DIR "/deploy/demo/model",
                                             "--device",
                                             "cpu-a=8GB,10GB/s,100GFLOPS",
                                             "--context",
                                             "512",
                                             "--requests",
                                             "6",
                                             "--prompt-tokens",
                                             "10-20",
                                             "--output-tokens",
                                             "5"};
  const Outcome table = Run(simulate);
  EXPECT_EQ(table.code, kExitOk) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("6 requests, 1 at a time"), HasSubstr("bubbles"),
                               HasSubstr("cpu-a"), HasSubstr("30 tokens")));
  std::vector<std::string> json = simulate;
  json.insert(json.end(), {"-o", "json"});
  EXPECT_THAT(Run(json).out, HasSubstr("\"outputTokens\": 30"));
  std::vector<std::string> too_long = simulate;
  too_long.insert(too_long.end(), {"--output-tokens", "600"});
  EXPECT_NE(Run(too_long).code, kExitOk);
}

TEST_F(CliTest, ServeRefusesABrokenModelBeforeAnythingStarts) {
  const Outcome outcome = Run({"serve", "/no/such/model"});
  EXPECT_NE(outcome.code, kExitOk);
  EXPECT_THAT(outcome.err, HasSubstr("/no/such/model"));
  EXPECT_THAT(
      Run({"serve", "/no/such/model", "--memory", "1GiB,2GiB,3GiB", "--threads", "1,1"}).err,
      HasSubstr("--threads lists 2 values for 3 workers"));
}

}  // namespace
}  // namespace layercake
