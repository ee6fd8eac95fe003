"""Text and chat generation by the bundled demo model on two workers, through every option."""

import json
import math
import unittest

import harness
from harness import gather, generate_request, inference_pb2, types_pb2

EXPECTED = json.loads((harness.SOURCE_DIR / "tests/golden/demo_expected.json").read_text())
TEXT_CASES = [c for c in EXPECTED["cases"] if c["kind"] == "text"]
CHAT_CASES = [c for c in EXPECTED["cases"] if c["kind"] == "chat"]
MAX_TOKENS = EXPECTED["max_tokens"]
MAX_TOKENS_REACHED = inference_pb2.STOP_REASON_MAX_TOKENS
# Much text and no early end: a greedy answer that runs to its limit.
LONG = next(c for c in TEXT_CASES if not c["stopped"])


def chat_request(text, **options):
    options.setdefault("sampling", types_pb2.SamplingParams(temperature=0))
    return inference_pb2.ChatRequest(
        messages=[inference_pb2.ChatMessage(role="user", content=text)],
        options=inference_pb2.GenerateOptions(**options),
    )


def seeded(seed, **sampling):
    return types_pb2.SamplingParams(seed=seed, temperature=1, **sampling)


class GenerateTest(harness.ClusterTest):
    MODEL = harness.DEMO_MODEL
    WORKERS = 2

    def chat(self, request):
        return self.cluster.inference.ChatUnary(request, timeout=harness.PATIENCE).completions

    def test_greedy_text_is_what_transformers_says(self):
        for case in TEXT_CASES:
            with self.subTest(case["prompt"]):
                (completion,) = self.unary(case["prompt"], max_tokens=MAX_TOKENS)
                self.assertEqual(list(completion.token_ids), case["output_ids"])
                self.assertEqual(completion.text, case["text"])
                expected = "EOS" if case["stopped"] else "MAX_TOKENS"
                reason = inference_pb2.StopReason.Name(completion.finish.reason)
                self.assertEqual(reason, "STOP_REASON_" + expected)

    def test_greedy_chat_is_what_transformers_says(self):
        for case in CHAT_CASES:
            with self.subTest(case["prompt"]):
                request = chat_request(case["prompt"], max_tokens=MAX_TOKENS)
                (completion,) = self.chat(request)
                self.assertEqual(list(completion.token_ids), case["output_ids"])
                self.assertEqual(completion.text, case["text"])
                self.assertEqual(completion.finish.usage.prompt_tokens, len(case["prompt_ids"]))

    def test_stream_carries_what_the_unary_call_answers(self):
        request = generate_request(LONG["prompt"], max_tokens=MAX_TOKENS)
        chunks = list(self.cluster.inference.Generate(request, timeout=harness.PATIENCE))
        self.assertGreater(len(chunks), 1)
        texts, ids, finishes = gather(chunks)
        self.assertEqual(texts, {0: LONG["text"]})
        self.assertEqual(ids, {0: LONG["output_ids"]})
        self.assertEqual(finishes[0].reason, MAX_TOKENS_REACHED)
        self.assertEqual(chunks[0].model, "model")

    def test_chat_streams_too(self):
        case = CHAT_CASES[0]
        request = chat_request(case["prompt"], max_tokens=MAX_TOKENS)
        texts, ids, _ = gather(self.cluster.inference.Chat(request, timeout=harness.PATIENCE))
        self.assertEqual((texts[0], ids[0]), (case["text"], case["output_ids"]))

    def test_prompt_of_token_ids_is_taken_as_it_is(self):
        (completion,) = self.unary(LONG["prompt_ids"], max_tokens=8)
        self.assertEqual(list(completion.token_ids), LONG["output_ids"][:8])

    def test_continued_message_goes_on_where_it_stopped(self):
        request = chat_request("Who are you?", max_tokens=MAX_TOKENS)
        (whole,) = self.chat(request)
        words = whole.text.split(" ")
        beginning = " ".join(words[:6])
        request.messages.add(role="assistant", content=beginning)
        request.continue_final_message = True
        (rest,) = self.chat(request)
        self.assertEqual(beginning + rest.text, whole.text)

    def test_usage_and_timings_are_reported(self):
        (completion,) = self.unary(LONG["prompt"], max_tokens=10)
        usage, timings = completion.finish.usage, completion.finish.timings
        self.assertEqual(usage.prompt_tokens, len(LONG["prompt_ids"]))
        self.assertEqual(usage.completion_tokens, 10)
        first = timings.time_to_first_token.ToNanoseconds()
        self.assertLessEqual(timings.queued.ToNanoseconds(), first)
        self.assertLess(first, timings.total.ToNanoseconds())
        self.assertGreater(timings.completion_tokens_per_second, 0)

    def test_seed_repeats_and_seeds_differ(self):
        def answer(seed):
            (completion,) = self.unary(LONG["prompt"], max_tokens=24, sampling=seeded(seed))
            self.assertEqual(completion.finish.seed, seed)
            return list(completion.token_ids)

        self.assertEqual(answer(7), answer(7))
        self.assertGreater(len({tuple(answer(seed)) for seed in range(4)}), 1)

    def test_drawn_seed_is_reported_and_repeats_the_answer(self):
        (first,) = self.unary(
            LONG["prompt"], max_tokens=24, sampling=types_pb2.SamplingParams(temperature=1)
        )
        (again,) = self.unary(LONG["prompt"], max_tokens=24, sampling=seeded(first.finish.seed))
        self.assertEqual(again.token_ids, first.token_ids)

    def test_n_gives_the_completions_of_consecutive_seeds(self):
        completions = self.unary(LONG["prompt"], n=4, max_tokens=16, sampling=seeded(100))
        self.assertEqual([c.index for c in completions], [0, 1, 2, 3])
        for i, completion in enumerate(completions):
            (alone,) = self.unary(LONG["prompt"], max_tokens=16, sampling=seeded(100 + i))
            self.assertEqual(completion.token_ids, alone.token_ids)
            self.assertEqual(completion.finish.seed, 100 + i)

    def test_n_computes_its_prompt_once(self):
        prompt = [1500 + i for i in range(101)]  # six full blocks of 16
        completions = self.unary(prompt, n=3, max_tokens=2)
        self.assertEqual([c.finish.usage.cached_tokens for c in completions], [0, 96, 96])
        (again,) = self.unary(prompt, max_tokens=2)
        self.assertEqual(again.finish.usage.cached_tokens, 96)
        self.assertEqual(again.token_ids, completions[0].token_ids)

    def test_n_streams_each_completion_under_its_index(self):
        stream = self.stream(LONG["prompt"], n=3, max_tokens=12, sampling=seeded(5))
        texts, ids, finishes = gather(stream)
        unary = self.unary(LONG["prompt"], n=3, max_tokens=12, sampling=seeded(5))
        self.assertEqual(texts, {c.index: c.text for c in unary})
        self.assertEqual(ids, {c.index: list(c.token_ids) for c in unary})
        self.assertEqual(len(finishes), 3)

    def test_echo_returns_the_prompt_first(self):
        (completion,) = self.unary(LONG["prompt"], echo=True, max_tokens=4)
        self.assertTrue(completion.text.startswith(LONG["prompt"]))
        expected = LONG["prompt_ids"] + LONG["output_ids"][:4]
        self.assertEqual(list(completion.token_ids), expected)

    def test_logprobs_name_the_choice_and_its_rivals(self):
        (completion,) = self.unary(LONG["prompt"], max_tokens=6, top_logprobs=3)
        self.assertEqual(len(completion.logprobs), 6)
        for token, logprobs in zip(completion.token_ids, completion.logprobs):
            self.assertEqual(logprobs.chosen.token_id, token)
            self.assertEqual(logprobs.top[0], logprobs.chosen)  # greedy chose the likeliest
            values = [top.logprob for top in logprobs.top]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertEqual(len(values), 3)
            self.assertLess(sum(map(math.exp, values)), 1 + 1e-6)
        text = b"".join(l.chosen.token for l in completion.logprobs).decode()
        self.assertEqual(text, completion.text)

    def test_echo_with_logprobs_judges_the_prompt_even_if_it_is_cached(self):
        prompt = [3 + i % 600 for i in range(70)]
        first = self.unary(prompt, echo=True, logprobs=True, max_tokens=2)[0]
        self.unary(prompt, max_tokens=1)
        second = self.unary(prompt, echo=True, logprobs=True, max_tokens=2)[0]
        self.assertEqual(len(first.logprobs), len(prompt) + 2)
        self.assertEqual(first.logprobs, second.logprobs)
        self.assertEqual([l.chosen.token_id for l in first.logprobs[:70]], prompt)
        self.assertTrue(all(l.chosen.logprob < 0 for l in first.logprobs[1:]))

    def test_stop_string_ends_the_text_before_it(self):
        words = LONG["text"].split(" ")
        stop = " ".join(words[4:6])
        before = LONG["text"][: LONG["text"].index(stop)]
        (completion,) = self.unary(LONG["prompt"], stop=["never said", stop], max_tokens=MAX_TOKENS)
        self.assertEqual(completion.text, before)
        self.assertEqual(completion.finish.reason, inference_pb2.STOP_REASON_STOP_STRING)
        self.assertEqual(completion.finish.stop, stop)
        seen = ""
        for chunk in self.stream(LONG["prompt"], stop=[stop], max_tokens=MAX_TOKENS):
            seen += chunk.text
            self.assertTrue(before.startswith(seen), "text of a stop string escaped")
        self.assertEqual(seen, before)

    def test_half_a_stop_string_is_given_back(self):
        stop = LONG["text"][-6:] + "\0 never"
        (completion,) = self.unary(LONG["prompt"], stop=[stop], max_tokens=MAX_TOKENS)
        self.assertEqual(completion.text, LONG["text"])

    def test_stop_id_ends_generation(self):
        stop = LONG["output_ids"][5]
        first = LONG["output_ids"].index(stop)
        (completion,) = self.unary(LONG["prompt"], stop_ids=[stop], max_tokens=MAX_TOKENS)
        self.assertEqual(completion.finish.reason, inference_pb2.STOP_REASON_STOP_ID)
        self.assertEqual(completion.finish.stop_id, stop)
        self.assertEqual(completion.finish.usage.completion_tokens, first + 1)

    def test_ignore_eos_goes_on(self):
        case = next(c for c in CHAT_CASES if c["stopped"])
        request = chat_request(case["prompt"], ignore_eos=True, max_tokens=MAX_TOKENS)
        (completion,) = self.chat(request)
        ended = len(case["output_ids"])
        self.assertEqual(list(completion.token_ids[:ended]), case["output_ids"])
        self.assertEqual(len(completion.token_ids), MAX_TOKENS)
        self.assertEqual(completion.finish.reason, MAX_TOKENS_REACHED)

    def test_sampling_fields_shape_the_draw(self):
        greedy = LONG["output_ids"][:12]
        for sampling in (seeded(1, top_k=1), seeded(1, min_p=1), seeded(1, top_p=1e-6)):
            (completion,) = self.unary(LONG["prompt"], max_tokens=12, sampling=sampling)
            self.assertEqual(list(completion.token_ids), greedy)
        penalized = types_pb2.SamplingParams(
            temperature=0, repetition_penalty=1.3, presence_penalty=2, frequency_penalty=2
        )
        (completion,) = self.unary(
            LONG["prompt"], max_tokens=MAX_TOKENS, ignore_eos=True, sampling=penalized
        )
        repeats = len(completion.token_ids) - len(set(completion.token_ids))
        self.assertLess(repeats, MAX_TOKENS - len(set(LONG["output_ids"])))

    def test_prompt_and_answer_may_fill_the_context_exactly(self):
        context = 1024
        prompt = [3 + i % 900 for i in range(context - 3)]
        (completion,) = self.unary(prompt, ignore_eos=True)
        self.assertEqual(completion.finish.usage.completion_tokens, 3)
        self.assertEqual(completion.finish.reason, MAX_TOKENS_REACHED)

    def test_tokenize_and_detokenize(self):
        inference = self.cluster.inference
        for case in TEXT_CASES:
            response = inference.Tokenize(inference_pb2.TokenizeRequest(text=case["prompt"]))
            self.assertEqual(list(response.token_ids), case["prompt_ids"])
            self.assertEqual(b"".join(response.tokens).decode(), case["prompt"])
            back = inference.Detokenize(
                inference_pb2.DetokenizeRequest(token_ids=case["output_ids"],
                                                skip_special_tokens=True)
            )
            self.assertEqual(back.text, case["text"])

    def test_tokenize_shows_the_prompt_of_a_chat(self):
        for case in CHAT_CASES:
            request = inference_pb2.TokenizeRequest(chat=chat_request(case["prompt"]))
            response = self.cluster.inference.Tokenize(request)
            self.assertEqual(list(response.token_ids), case["prompt_ids"])
            self.assertEqual(b"".join(response.tokens).decode(), case["rendered"])

    def test_special_tokens_in_chat_content_are_plain_text(self):
        forged = inference_pb2.TokenizeRequest(chat=chat_request("<|im_end|>"))
        tokens = list(self.cluster.inference.Tokenize(forged).token_ids)
        plain = inference_pb2.TokenizeRequest(chat=chat_request("x"))
        ends = list(self.cluster.inference.Tokenize(plain).token_ids).count(2)
        self.assertEqual(tokens.count(2), ends)
        text = inference_pb2.TokenizeRequest(text="<|im_end|>")
        self.assertEqual(list(self.cluster.inference.Tokenize(text).token_ids), [2])
        text.skip_special_tokens = True
        self.assertNotIn(2, self.cluster.inference.Tokenize(text).token_ids)

    def test_list_models_describes_the_one_loaded(self):
        (model,) = self.cluster.inference.ListModels(inference_pb2.ListModelsRequest()).models
        self.assertEqual(model.name, "model")
        self.assertEqual(model.architecture, "llama")
        self.assertEqual(model.dtype, "bf16")
        self.assertEqual(model.max_context_tokens, 1024)
        self.assertEqual(model.vocab_size, 3072)
        self.assertTrue(model.has_chat_template)
        (completion,) = self.unary("Hello", max_tokens=1, model="model")
        self.assertEqual(len(completion.token_ids), 1)


if __name__ == "__main__":
    unittest.main()
