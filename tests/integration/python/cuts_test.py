"""The same answer however the model is cut and whoever else is in the batch, and the right one."""

import concurrent.futures
import itertools
import json
import random
import unittest

import harness
from harness import generate_request, types_pb2

MODELS = sorted(p.parent.name for p in harness.GOLDEN_MODELS.glob("*/expected.json"))


def expected(model):
    return json.loads((harness.GOLDEN_MODELS / model / "expected.json").read_text())


def num_layers(model):
    config = json.loads((harness.GOLDEN_MODELS / model / "config.json").read_text())
    return config["num_hidden_layers"]


def held(model):
    """In which form the weights are to be held: the checkpoint's own, or one that a worker makes."""
    weights = expected(model).get("weights")
    return {"weight_type": f"WEIGHT_TYPE_{weights.upper()}"} if weights else {}


def cuts(layers, stages):
    """Every way to cut `layers` layers into `stages` runs, as a manual plan over w0, w1, ..."""
    for ends in itertools.combinations(range(1, layers), stages - 1):
        bounds = [0, *ends, layers]
        yield [
            types_pb2.PlanOptions.LayerRange(worker=f"w{i}", first_layer=a, num_layers=b - a)
            for i, (a, b) in enumerate(zip(bounds, bounds[1:]))
        ]


class CutsTest(harness.ClusterTest):
    WORKERS = 3

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.wait_for_workers(3)

    def load_cut(self, model, cut):
        progress = self.cluster.load(harness.GOLDEN_MODELS / model, manual=cut,
                                     policy=types_pb2.PlanOptions.POLICY_MANUAL, **held(model))
        stages = progress[-1].plan.stages or progress[0].plan.stages
        self.assertEqual([s.num_layers for s in stages], [r.num_layers for r in cut])

    def greedy(self, ids, max_tokens=64):
        (completion,) = self.unary(ids, max_tokens=max_tokens, ignore_eos=True, logprobs=True)
        return completion

    def test_every_model_says_what_transformers_says(self):
        for model in MODELS:
            with self.subTest(model):
                self.cluster.load(harness.GOLDEN_MODELS / model, **held(model))
                for prompt in expected(model)["prompts"]:
                    ids = prompt["greedy_ids"]
                    if not ids:
                        continue
                    completion = self.greedy(prompt["ids"])
                    self.assertEqual(list(completion.token_ids), ids)

    def test_every_cut_gives_the_same_ids_and_the_same_logprobs(self):
        for model in ("llama-gqa", "qwen2-tied", "qwen3-tied", "llama-mqa-tied", "qwen2-gptq-int4",
                      "llama-held-int4", "qwen3-moe", "qwen3-moe-gptq-int4"):
            prompts = [p for p in expected(model)["prompts"] if p["greedy_ids"]]
            reference = None
            for stages in range(1, min(3, num_layers(model)) + 1):
                for cut in cuts(num_layers(model), stages):
                    with self.subTest(model, cut=[r.num_layers for r in cut]):
                        self.load_cut(model, cut)
                        answers = [self.greedy(p["ids"]) for p in prompts]
                        for prompt, answer in zip(prompts, answers):
                            self.assertEqual(list(answer.token_ids), prompt["greedy_ids"])
                        logprobs = [[l.chosen.logprob for l in a.logprobs] for a in answers]
                        reference = reference or logprobs
                        self.assertEqual(logprobs, reference, "not bit for bit")

    def test_activations_of_16_bits_change_no_greedy_id(self):
        model = "llama-gqa"
        (cut,) = cuts(num_layers(model), num_layers(model))
        logprobs = {}
        for kind in ("F32", "BF16", "F16"):
            self.cluster.load(harness.GOLDEN_MODELS / model, manual=cut,
                              policy=types_pb2.PlanOptions.POLICY_MANUAL,
                              activation_type=f"ACTIVATION_TYPE_{kind}")
            plan = self.cluster.status().plan
            self.assertEqual(types_pb2.ActivationType.Name(plan.activation_type),
                             f"ACTIVATION_TYPE_{kind}")
            answers = []
            for prompt in expected(model)["prompts"]:
                answers.append(self.greedy(prompt["ids"]))
                self.assertEqual(list(answers[-1].token_ids), prompt["greedy_ids"], kind)
            logprobs[kind] = [l.chosen.logprob for a in answers for l in a.logprobs]
        for kind, most in (("BF16", 0.1), ("F16", 0.01)):
            off = [abs(a - b) for a, b in zip(logprobs[kind], logprobs["F32"])]
            self.assertLess(max(off), most)
            self.assertGreater(max(off), 0, "nothing was rounded")

    def test_prompt_logprobs_are_those_of_transformers(self):
        model = "llama-gqa"
        self.cluster.load(harness.GOLDEN_MODELS / model)
        for prompt in expected(model)["prompts"]:
            (completion,) = self.unary(prompt["ids"], echo=True, logprobs=True, max_tokens=1)
            got = [l.chosen.logprob for l in completion.logprobs[1:len(prompt["ids"])]]
            self.assertEqual(len(got), len(prompt["prompt_logprobs"]))
            for a, b in zip(got, prompt["prompt_logprobs"]):
                self.assertAlmostEqual(a, b, delta=2e-3)

    def test_32_at_once_answer_as_one_by_one(self):
        model = "llama-gqa"
        draw = random.Random(1)
        shared = [draw.randrange(256) for _ in range(40)]
        requests = []
        for i in range(32):
            prompt = (shared if i % 3 == 0 else []) + [
                draw.randrange(256) for _ in range(draw.randrange(1, 90))]
            sampling = types_pb2.SamplingParams(temperature=i % 2, seed=i, top_k=(i % 4) * 20)
            requests.append(generate_request(
                prompt, max_tokens=draw.randrange(1, 60), sampling=sampling, top_logprobs=2,
                ignore_eos=i % 5 == 0))

        def answer(request):
            response = self.cluster.inference.GenerateUnary(request, timeout=harness.PATIENCE)
            (completion,) = response.completions
            return (list(completion.token_ids), completion.text, completion.finish.reason,
                    [l.SerializeToString() for l in completion.logprobs])

        for stages in (1, 3):
            with self.subTest(stages=stages):
                self.load_cut(model, next(cuts(num_layers(model), stages)))
                one_by_one = [answer(request) for request in requests]
                with concurrent.futures.ThreadPoolExecutor(32) as pool:
                    at_once = list(pool.map(answer, requests))
                self.assertEqual(at_once, one_by_one)
                self.cluster.wait_idle()

    def test_too_little_kv_for_all_changes_no_answer(self):
        """Sequences are preempted and replayed; nobody can tell from their answers."""
        model = "llama-gqa"
        draw = random.Random(2)
        prompts = [[draw.randrange(256) for _ in range(20)] for _ in range(12)]
        path = harness.GOLDEN_MODELS / model
        options = dict(context_tokens=256, reserve_bytes={"": 0}, exclude=["w1", "w2"])
        self.cluster.load(path, **options)
        alone = [list(self.greedy(prompt, 200).token_ids) for prompt in prompts]
        (stage,) = self.cluster.status().plan.stages
        block_bytes = stage.kv_bytes // stage.num_blocks
        # Each of the twelve needs 14 blocks in the end; there are not quite 40 for all.
        few = stage.weight_bytes + stage.workspace_bytes + 40 * block_bytes
        self.cluster.load(path, max_memory_bytes={"": few}, **options)
        self.assertLess(self.cluster.status().total_blocks, 48)
        self.assertGreaterEqual(self.cluster.status().total_blocks, 16)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda p: list(self.greedy(p, 200).token_ids), prompts))
        self.assertEqual(together, alone)


if __name__ == "__main__":
    unittest.main()
