"""Workers whose CUDA devices are emulated, beside others on the CPU, serve what transformers says."""

import json
import re
import shutil
import unittest

import grpc
import harness
from harness import eventually, types_pb2

DEVICES = "8.0:256MiB,6.1:256MiB"


def expected(model):
    return json.loads((harness.GOLDEN_MODELS / model / "expected.json").read_text())


class EmulatedCudaTest(harness.ClusterTest):
    WORKERS = 1

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for i, (device, flags) in enumerate([
                ("emulated-cuda-8-0", ["--dense-products", "cublaslt"]),
                ("cuda:1", ["--cuda-graphs", "off"])]):
            cls.cluster.start_worker(
                f"cuda{i}", memory="192MiB", device=device, flags=flags,
                program="layercake-worker-emulated", LAYERCAKE_EMULATED_DEVICES=DEVICES)
        cls.cluster.wait_for_workers(3)

    def check(self, model, cut, activations="F32", prompts=slice(2)):
        """`cut`: pairs of a worker and its number of layers."""
        ranges, first = [], 0
        for worker, layers in cut:
            ranges.append(types_pb2.PlanOptions.LayerRange(
                worker=worker, first_layer=first, num_layers=layers))
            first += layers
        self.cluster.load(harness.GOLDEN_MODELS / model, manual=ranges, context_tokens=256,
                          policy=types_pb2.PlanOptions.POLICY_MANUAL,
                          activation_type=f"ACTIVATION_TYPE_{activations}")
        for prompt in expected(model)["prompts"][prompts]:
            (completion,) = self.unary(prompt["ids"], max_tokens=64, ignore_eos=True)
            self.assertEqual(list(completion.token_ids), prompt["greedy_ids"])

    def edges(self):
        """Over what each stage hands on, and why, as the status has it."""
        return [(stage.link, stage.link_reason) for stage in self.cluster.status().plan.stages]

    def test_one_card_says_what_transformers_says(self):
        for model, worker, layers in (("llama-gqa", "cuda0", 3), ("qwen2-f16-head-dim", "cuda0", 3),
                                      ("llama-gptq-act-order", "cuda1", 2)):
            with self.subTest(model):
                self.check(model, [(worker, layers)])

    def test_two_cards_of_different_age_share_a_model(self):
        # One of the prompts has as many tokens as cuBLASLt takes.
        self.check("llama3-rope-old", [("cuda0", 1), ("cuda1", 2)], prompts=slice(0, 4, 3))
        self.assertEqual(self.edges()[0][0], "grpc", "emulated cards have no NCCL")

    def test_cards_and_the_cpu_share_a_model(self):
        self.check("llama-bias", [("w0", 1), ("cuda0", 1), ("cuda1", 1)])
        (of_cpu, why_cpu), (of_card, why_card), (of_last, _) = self.edges()
        self.assertEqual((of_cpu, of_card, of_last), ("grpc", "grpc", ""))
        self.assertIn("its device is a CPU", why_cpu)
        self.assertIn("NCCL", why_card)
        self.check("llama-gqa", [("cuda1", 2), ("w0", 1)])

    def test_activations_of_16_bits_pass_both_ways_between_cards_and_the_cpu(self):
        for kind in ("BF16", "F16"):
            with self.subTest(kind):
                self.check("llama-gqa", [("cuda0", 1), ("w0", 1), ("cuda1", 1)], kind)

    def test_status_says_which_cards_these_are(self):
        devices = {w.name: w.device for w in self.cluster.status().workers}
        self.assertEqual(devices["cuda0"].kind, types_pb2.DEVICE_KIND_CUDA)
        self.assertEqual(devices["cuda0"].compute_capability, 80)
        self.assertEqual(devices["cuda1"].compute_capability, 61)
        self.assertIn("; prompts by cuBLASLt 13.1.0", devices["cuda0"].tier)
        self.assertIn("dp4a", devices["cuda1"].tier)
        self.assertNotEqual(devices["cuda0"].uuid, devices["cuda1"].uuid)


class LostCardTest(unittest.TestCase):
    """A card that fails takes its worker along, which says so and may begin anew."""

    MODEL = harness.GOLDEN_MODELS / "llama-gqa"
    LOST = 12  # kExitDeviceLost of common/options/options.h
    WORDS = "CUDA device 0 (Emulated CUDA 8.0) failed at"
    CARD = {"LAYERCAKE_EMULATED_DEVICES": "8.0:256MiB"}
    PROMPT = expected("llama-gqa")["prompts"][0]

    def generate(self, inference, count):
        request = harness.generate_request(self.PROMPT["ids"], max_tokens=count, ignore_eos=True)
        response = inference.GenerateUnary(request, timeout=harness.PATIENCE)
        return list(response.completions[0].token_ids)

    def test_while_computing(self):
        with harness.Cluster(workers=0) as cluster:
            worker = cluster.start_worker("cuda0", device="emulated-cuda", memory="192MiB",
                                          program="layercake-worker-emulated",
                                          LAYERCAKE_EMULATED_LAUNCHES="1000", **self.CARD)
            cluster.wait_for_workers(1)
            cluster.load(self.MODEL, context_tokens=256)
            with self.assertRaises(grpc.RpcError) as caught:
                self.generate(cluster.inference, 200)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(worker.popen.wait(harness.PATIENCE), self.LOST)
            self.assertIn(self.WORDS, worker.log())
            self.assertIn("cudaErrorECCUncorrectable", worker.log())

    def test_while_measuring(self):
        worker = harness.Process(
            "layercake-worker-emulated",
            ["--coordinator", "127.0.0.1:1", "--device", "cuda:0", "--profile", "measure"], "cuda0",
            LAYERCAKE_EMULATED_LAUNCHES="10", XDG_CACHE_HOME=str(harness.TEMP_DIR), **self.CARD)
        self.assertEqual(worker.popen.wait(harness.PATIENCE), self.LOST)
        self.assertIn(self.WORDS, worker.log())

    def test_serve_starts_its_worker_again(self):
        programs = harness.TEMP_DIR / "emulated"
        programs.mkdir()
        for program in ("layercake", "layercake-coordinator"):
            shutil.copy(harness.BUILD_DIR / "bin" / program, programs / program)
        # Its card is lost the first time only. To its workers, serve hands on no variable of ours.
        worker = programs / "layercake-worker"
        worker.write_text(f"""#!/bin/sh
[ -e "$0.lost" ] || export LAYERCAKE_EMULATED_LAUNCHES=1500
touch "$0.lost"
export LAYERCAKE_EMULATED_DEVICES={self.CARD["LAYERCAKE_EMULATED_DEVICES"]}
exec {harness.BUILD_DIR}/bin/layercake-worker-emulated "$@" --profile 1e10,1e11
""")
        worker.chmod(0o755)
        serve = harness.Process(
            programs / "layercake",
            ["serve", self.MODEL, "--listen", "127.0.0.1:0", "--devices", "cuda:0",
             "--memory", "192MiB", "--context", 256], "serve")
        address = eventually(lambda: re.search(r"--address (\S+)", serve.log()), "it serves")[1]
        inference = harness.inference_pb2_grpc.InferenceStub(grpc.insecure_channel(address))

        def serves():
            try:
                return self.generate(inference, 5) == self.PROMPT["greedy_ids"][:5]
            except grpc.RpcError:
                return False

        self.assertTrue(serves())
        with self.assertRaises(grpc.RpcError):
            self.generate(inference, 200)
        eventually(lambda: f"exited with code {self.LOST}; starting it again" in serve.log(),
                   "serve says what became of the worker")
        eventually(serves, "it serves again")
        self.assertIn(self.WORDS, serve.log())
        self.assertEqual(serve.stop(), 0)


if __name__ == "__main__":
    unittest.main()
