"""Every bad request is answered with its code, its words and its details, and harms nothing."""

import unittest

import grpc
import harness
from harness import details_of, generate_request, inference_pb2, types_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def sampling(**fields):
    return {"sampling": types_pb2.SamplingParams(**fields)}


class BadRequestTest(harness.ClusterTest):
    MODEL = harness.DEMO_MODEL

    # Options, the field to blame, words of the message.
    CASES = [
        (sampling(temperature=-0.5), "options.sampling.temperature", "-0.5"),
        (sampling(temperature=float("nan")), "options.sampling.temperature", "nan"),
        (sampling(top_p=0), "options.sampling.top_p", "(0, 1]"),
        (sampling(top_p=1.5), "options.sampling.top_p", "1.5"),
        (sampling(top_k=-1), "options.sampling.top_k", "-1"),
        (sampling(min_p=2), "options.sampling.min_p", "[0, 1]"),
        (sampling(repetition_penalty=0), "options.sampling.repetition_penalty", "above 0"),
        (sampling(presence_penalty=3), "options.sampling.presence_penalty", "[-2, 2]"),
        (sampling(frequency_penalty=-3), "options.sampling.frequency_penalty", "[-2, 2]"),
        ({"max_tokens": 0}, "options.max_tokens", "at least 1"),
        ({"max_tokens": -4}, "options.max_tokens", "-4"),
        ({"n": 0}, "options.n", "[1, 16]"),
        ({"n": 17}, "options.n", "17"),
        ({"top_logprobs": 21}, "options.top_logprobs", "[0, 20]"),
        ({"top_logprobs": -1}, "options.top_logprobs", "-1"),
        ({"stop": ["x", ""]}, "options.stop", "empty"),
        ({"stop": [str(i) for i in range(17)]}, "options.stop", "17"),
    ]

    def test_option_out_of_range_is_named(self):
        for options, field, words in self.CASES:
            for call in (self.unary, lambda *a, **k: list(self.stream(*a, **k))):
                with self.subTest(field=field, options=str(options)):
                    with self.assert_fails(INVALID, field, words) as caught:
                        call("Hello", **{"max_tokens": 1, **options})
                    violations = details_of(caught.exception)["BadRequest"].field_violations
                    self.assertEqual([v.field for v in violations], [field])

    def test_all_wrong_fields_are_named_at_once(self):
        with self.assert_fails(INVALID) as caught:
            self.unary("Hello", max_tokens=0, n=99, **sampling(temperature=-1, top_p=7))
        violations = details_of(caught.exception)["BadRequest"].field_violations
        self.assertEqual({v.field for v in violations},
                         {"options.max_tokens", "options.n", "options.sampling.temperature",
                          "options.sampling.top_p"})

    def test_empty_prompt(self):
        for prompt in ("", []):
            with self.assert_fails(INVALID, "prompt", "empty"):
                self.unary(prompt, max_tokens=1)
        with self.assert_fails(INVALID, "prompt"):
            self.cluster.inference.GenerateUnary(inference_pb2.GenerateRequest())

    def test_prompt_longer_than_the_context_is_refused_with_figures(self):
        with self.assert_fails(INVALID, "1024 tokens"):
            self.unary([5] * 1024, max_tokens=1)
        with self.assert_fails(INVALID, "1024"):
            self.unary("word " * 3000, max_tokens=1)

    def test_token_id_outside_the_vocabulary(self):
        for token in (-1, 3072, 2**31 - 1):
            with self.assert_fails(INVALID, "prompt", str(token), "3071"):
                self.unary([5, token], max_tokens=1)

    def test_unknown_model(self):
        with self.assert_fails(grpc.StatusCode.NOT_FOUND, "gpt-5", "model"):
            self.unary("Hello", model="gpt-5", max_tokens=1)
        for call, request in (
            (self.cluster.inference.Tokenize, inference_pb2.TokenizeRequest),
            (self.cluster.inference.Detokenize, inference_pb2.DetokenizeRequest),
            (self.cluster.inference.ChatUnary, inference_pb2.ChatRequest),
        ):
            with self.assert_fails(grpc.StatusCode.NOT_FOUND, "gpt-5"):
                call(request(model="gpt-5"))

    def test_bad_chats(self):
        inference = self.cluster.inference
        with self.assert_fails(INVALID, "messages"):
            inference.ChatUnary(inference_pb2.ChatRequest())
        message = inference_pb2.ChatMessage(content="no role")
        with self.assert_fails(INVALID, "messages[0].role") as caught:
            inference.ChatUnary(inference_pb2.ChatRequest(messages=[message]))
        violations = details_of(caught.exception)["BadRequest"].field_violations
        self.assertEqual(violations[0].field, "messages[0].role")

    def test_ids_without_a_token_detokenize_to_nothing(self):
        request = inference_pb2.DetokenizeRequest(token_ids=[-1, 2**31 - 1, 1238])
        alone = inference_pb2.DetokenizeRequest(token_ids=[1238])
        self.assertEqual(self.cluster.inference.Detokenize(request).text,
                         self.cluster.inference.Detokenize(alone).text)

    def test_a_message_that_is_no_protobuf(self):
        call = self.cluster.channel.unary_unary(
            "/layercake.v1.Inference/GenerateUnary",
            request_serializer=lambda data: data, response_deserializer=lambda data: data,
        )
        with self.assertRaises(grpc.RpcError):
            call(b"\xff\xff\xff\xff", timeout=harness.PATIENCE)

    def test_unknown_method(self):
        call = self.cluster.channel.unary_unary("/layercake.v1.Inference/Sing")
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"", timeout=harness.PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_the_cluster_is_whole_after_all_that(self):
        (completion,) = self.unary("Hello", max_tokens=3)
        self.assertGreater(len(completion.token_ids), 0)
        self.cluster.wait_idle()


class NoTokenizerTest(harness.ClusterTest):
    """A checkpoint without tokenizer.json still serves token ids."""

    MODEL = harness.GOLDEN_MODELS / "llama-mha-sharded"

    def test_token_ids_go_in_and_out(self):
        (completion,) = self.unary([5, 6], max_tokens=3, ignore_eos=True)
        self.assertEqual(len(completion.token_ids), 3)
        self.assertEqual(completion.text, "")

    def test_text_needs_a_tokenizer(self):
        failed = grpc.StatusCode.FAILED_PRECONDITION
        with self.assert_fails(failed, "tokenizer.json"):
            self.unary("Hello", max_tokens=1)
        with self.assert_fails(failed, "tokenizer.json"):
            self.unary([5], stop=["x"], max_tokens=1)
        message = inference_pb2.ChatMessage(role="user", content="Hello")
        with self.assert_fails(failed):
            self.cluster.inference.ChatUnary(inference_pb2.ChatRequest(messages=[message]))
        with self.assert_fails(failed, "tokenizer.json"):
            self.cluster.inference.Tokenize(inference_pb2.TokenizeRequest(text="Hello"))


class QueueTest(harness.ClusterTest):
    """One sequence runs, two may wait."""

    FLAGS = ("--max-queue", 2, "--batch", 1)

    @classmethod
    def setUpClass(cls):
        import models

        cls.MODEL = models.slow_model()
        super().setUpClass()

    def test_full_queue_says_when_to_come_again(self):
        streams = []
        for i in range(3):
            streams.append(self.stream([1, 2, 3 + i], ignore_eos=True, max_tokens=20000))
            harness.eventually(
                lambda: (s := self.cluster.status()).running_sequences + s.waiting_sequences > i
                and s.running_sequences == 1, "the request is taken")
        for n in (1, 2):
            with self.assert_fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue",
                                   reason="QUEUE_FULL") as caught:
                self.unary([9], n=n, max_tokens=1)
            delay = details_of(caught.exception)["RetryInfo"].retry_delay
            self.assertGreater(delay.ToNanoseconds(), 0)
        streams[1].cancel()
        harness.eventually(lambda: self.cluster.status().waiting_sequences == 1, "a place is free")
        with self.assert_fails(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL") as caught:
            self.unary([9], n=2, max_tokens=1)
        self.assertIn("RetryInfo", details_of(caught.exception), "all of a request or none of it")
        self.assertEqual(self.cluster.status().waiting_sequences, 1)
        for stream in streams:
            stream.cancel()
        (completion,) = self.unary([9], max_tokens=1)
        self.assertEqual(len(completion.token_ids), 1)
        self.cluster.wait_idle()


if __name__ == "__main__":
    unittest.main()
