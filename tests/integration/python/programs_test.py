"""Checkpoints that are broken and programs that cannot start: refused in words, with exit codes."""

import json
import os
import unittest

import grpc
import harness
import models
from harness import admin_pb2, types_pb2

DATA_LOSS = grpc.StatusCode.DATA_LOSS
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class BrokenCheckpointTest(harness.ClusterTest):
    """A sound model is served all the while: a bad one must not take its place."""

    MODEL = harness.GOLDEN_MODELS / "llama-gqa"

    def refused(self, model, codes, *words):
        with self.assertRaises(grpc.RpcError) as caught:
            self.cluster.load(model)
        error = caught.exception
        self.assertIn(error.code(), codes, error.details())
        for word in words:
            self.assertIn(word, error.details())
        self.assertEqual(self.cluster.status().model, "llama-gqa")
        self.assertEqual(len(self.unary([5], max_tokens=1, ignore_eos=True)), 1)

    def test_no_such_directory(self):
        self.refused("/no/such/model", [INVALID, grpc.StatusCode.NOT_FOUND], "/no/such/model")

    def test_no_model_dir_at_all(self):
        self.refused("", [INVALID], "model_dir")

    def test_missing_weights(self):
        model = models.copy_of("llama-gqa")
        os.remove(model / "model.safetensors")
        self.refused(model, [DATA_LOSS, grpc.StatusCode.NOT_FOUND, INVALID], "safetensors")

    def test_missing_shard(self):
        model = models.copy_of("llama-mha-sharded")
        os.remove(model / "model-00002-of-00003.safetensors")
        self.refused(model, [DATA_LOSS, grpc.StatusCode.NOT_FOUND],
                     "model-00002-of-00003.safetensors")

    def test_truncated_weights(self):
        model = models.copy_of("llama-gqa")
        path = model / "model.safetensors"
        for size in (0, 5, 100, path.stat().st_size - 1):
            with self.subTest(size=size):
                broken = models.copy_of("llama-gqa")
                os.truncate(broken / "model.safetensors", size)
                self.refused(broken, [DATA_LOSS], "model.safetensors")

    def test_lying_header(self):
        def shrink(header):
            header["model.norm.weight"]["data_offsets"][1] -= 4

        def overlap(header):
            a, b = [k for k in header if k != "__metadata__"][:2]
            header[a]["data_offsets"] = header[b]["data_offsets"]

        def far(header):
            header["model.norm.weight"]["data_offsets"] = [2**40, 2**40 + 160]

        for edit in (shrink, overlap, far):
            with self.subTest(edit.__name__):
                model = models.copy_of("llama-gqa")
                models.edit_header(model / "model.safetensors", edit)
                self.refused(model, [DATA_LOSS], "model.safetensors")

    def test_missing_tensor(self):
        def rename(header):
            header["other"] = header.pop("model.layers.1.mlp.up_proj.weight")

        model = models.copy_of("llama-gqa")
        models.edit_header(model / "model.safetensors", rename)
        self.refused(model, [DATA_LOSS], "model.layers.1.mlp.up_proj.weight")

    def test_wrong_shape(self):
        def reshape(header):
            header["model.layers.0.self_attn.q_proj.weight"]["shape"].reverse()
            header["model.layers.0.mlp.up_proj.weight"]["shape"].reverse()

        model = models.copy_of("llama-gqa")
        models.edit_header(model / "model.safetensors", reshape)
        self.refused(model, [DATA_LOSS], "shape")

    def test_wrong_dtype(self):
        def retype(header):
            header["model.norm.weight"]["dtype"] = "I32"

        model = models.copy_of("llama-gqa")
        models.edit_header(model / "model.safetensors", retype)
        self.refused(model, [DATA_LOSS, INVALID, grpc.StatusCode.UNIMPLEMENTED], "I32")

    def test_unknown_architecture(self):
        model = models.copy_of("llama-gqa")
        models.edit_json(model / "config.json", architectures=["ParrotForCausalLM"],
                         model_type="parrot")
        self.refused(model, [INVALID, grpc.StatusCode.UNIMPLEMENTED], "arrot")

    def test_config_that_is_no_json_or_lacks_a_field(self):
        model = models.copy_of("llama-gqa")
        models.edit_json(model / "config.json", hidden_size=None)
        self.refused(model, [INVALID, DATA_LOSS], "hidden_size")
        (model / "config.json").write_text("{")
        self.refused(model, [INVALID, DATA_LOSS], "config.json")

    def test_broken_tokenizer(self):
        model = models.copy_of("llama-gqa")
        (model / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab"')
        self.refused(model, [INVALID, DATA_LOSS], "tokenizer.json")

    def test_model_larger_than_the_memory_is_refused_with_figures(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.cluster.load(harness.GOLDEN_MODELS / "qwen2-tied", max_memory_bytes={"": 1 << 16})
        error = caught.exception
        self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn("iB", error.details())
        self.assertEqual(self.cluster.status().model, "llama-gqa")

    def test_step_smaller_than_a_batch(self):
        with self.assert_fails(INVALID, "--step-tokens 4", "--batch 16"):
            self.cluster.load(harness.GOLDEN_MODELS / "llama-gqa", batch_sequences=16,
                              step_tokens=4)

    def test_manual_plan_that_makes_no_sense(self):
        layers = types_pb2.PlanOptions.LayerRange(worker="nobody", first_layer=0, num_layers=3)
        with self.assertRaises(grpc.RpcError) as caught:
            self.cluster.load(harness.GOLDEN_MODELS / "llama-gqa", manual=[layers],
                              policy=types_pb2.PlanOptions.POLICY_MANUAL)
        self.assertIn("nobody", caught.exception.details())


class StartTest(unittest.TestCase):
    def run_program(self, program, *arguments):
        process = harness.Process(program, arguments, program)
        code = process.popen.wait(harness.PATIENCE)
        return code, process.log()

    def test_version_and_help(self):
        for program in ("layercake-coordinator", "layercake-worker"):
            code, out = self.run_program(program, "--version")
            self.assertEqual(code, 0)
            self.assertRegex(out, r"\d+\.\d+\.\d+")
            code, out = self.run_program(program, "--help")
            self.assertEqual(code, 0)
            self.assertIn("--listen", out)

    def test_bad_flags(self):
        worker = ("layercake-worker", "--coordinator", "127.0.0.1:1")
        for program in (("layercake-coordinator",), worker):
            code, out = self.run_program(*program, "--no-such-flag")
            self.assertEqual(code, 2, out)
            self.assertIn("no-such-flag", out)
        code, out = self.run_program("layercake-worker")
        self.assertEqual(code, 2, out)
        self.assertIn("--coordinator", out)
        code, out = self.run_program(*worker, "--memory", "lots")
        self.assertEqual(code, 2, out)
        self.assertIn("lots", out)

    def test_port_in_use(self):
        with harness.Cluster(workers=0) as cluster:
            code, out = self.run_program("layercake-coordinator", "--listen", cluster.address)
            self.assertEqual(code, 3, out)
            self.assertIn(cluster.address, out)
            self.assertIn("in use", out)

    def test_address_that_is_none(self):
        code, out = self.run_program("layercake-coordinator", "--listen", "nonsense")
        self.assertNotEqual(code, 0)
        self.assertIn("nonsense", out)

    def test_worker_name_that_is_taken(self):
        with harness.Cluster(workers=1) as cluster:
            cluster.wait_for_workers(1)
            code, out = self.run_program(
                "layercake-worker", "--coordinator", cluster.address, "--name", "w0", "--device",
                "cpu", "--memory", "64MiB", "--threads", "1", "--profile", "1e10,1e11")
            self.assertEqual(code, 4, out)
            self.assertIn("w0", out)

    def test_coordinator_whose_model_cannot_be_served_ends_and_says_why(self):
        code, out = self.run_program("layercake-coordinator", "--listen", "127.0.0.1:0",
                                     "--model", "/no/such/model")
        self.assertNotEqual(code, 0)
        self.assertIn("/no/such/model", out)


if __name__ == "__main__":
    unittest.main()
