"""Calls that end early, draining, loading and unloading, health and reflection."""

import threading
import unittest

import grpc
import harness
import models
from google.protobuf import duration_pb2
from harness import admin_pb2, details_of, eventually, gather, inference_pb2, types_pb2

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class EndlessTest(harness.ClusterTest):
    """Requests that would run for minutes, on two workers."""

    WORKERS = 2

    @classmethod
    def setUpClass(cls):
        cls.MODEL = models.slow_model()
        super().setUpClass()

    def endless(self, prompt=(1, 2, 3), timeout=harness.PATIENCE, **options):
        options = {"max_tokens": 30000, "ignore_eos": True, **options}
        return self.stream(list(prompt), timeout=timeout, **options)

    def tearDown(self):
        self.cluster.wait_idle()

    def test_cancel_frees_the_blocks(self):
        total = self.cluster.status().total_blocks
        stream = self.endless(prompt=range(1, 100))
        next(stream)
        self.assertLessEqual(self.cluster.status().free_blocks, total - 7)
        stream.cancel()
        eventually(lambda: self.cluster.status().free_blocks == total, "blocks are free", 2)
        self.assertEqual(self.cluster.status().running_sequences, 0)
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)

    def test_cancel_ends_all_completions_of_a_request(self):
        stream = self.endless(n=4)
        next(stream)
        eventually(lambda: self.cluster.status().running_sequences == 4, "four run")
        stream.cancel()
        self.cluster.wait_idle(2)

    def test_cancel_of_one_request_leaves_the_others(self):
        other = self.endless(prompt=[4], max_tokens=40)
        first = self.endless(prompt=[5])
        chunk = next(other)
        next(first)
        first.cancel()
        _, _, finishes = gather([chunk, *other])
        self.assertEqual(finishes[0].usage.completion_tokens, 40)

    def test_unary_call_can_be_cancelled(self):
        request = harness.generate_request([1, 2], max_tokens=30000, ignore_eos=True)
        call = self.cluster.inference.GenerateUnary.future(request)
        eventually(lambda: self.cluster.status().running_sequences == 1, "it runs")
        call.cancel()
        self.cluster.wait_idle(2)

    def test_cancel_while_waiting_leaves_the_queue(self):
        running = [self.endless(prompt=[i]) for i in range(40)]
        eventually(lambda: self.cluster.status().waiting_sequences >= 1, "some wait")
        for stream in running:
            stream.cancel()
        self.cluster.wait_idle(5)

    def test_deadline_ends_the_call_and_frees_the_blocks(self):
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in self.endless(timeout=0.5):
                pass
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.cluster.wait_idle(2)

    def test_client_that_goes_away_is_not_generated_for(self):
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(self.cluster.address, options)
        stub = harness.inference_pb2_grpc.InferenceStub(channel)
        stream = stub.Generate(harness.generate_request([1], max_tokens=30000, ignore_eos=True))
        next(stream)
        channel.close()
        self.cluster.wait_idle(2)

    def test_drain_lets_the_running_end_and_takes_no_new(self):
        stream = self.endless(max_tokens=100)
        chunk = next(stream)
        short = admin_pb2.DrainRequest(timeout=duration_pb2.Duration(nanos=50_000_000))
        try:
            self.assertEqual(self.cluster.admin.Drain(short).remaining_sequences, 1)
            self.assertEqual(self.cluster.status().state, admin_pb2.SERVING_STATE_DRAINING)
            self.assertFalse(self.cluster.serving())
            with self.assert_fails(UNAVAILABLE, "draining", reason="DRAINING") as caught:
                self.unary([1], max_tokens=1)
            self.assertIn("RetryInfo", details_of(caught.exception))
            response = self.cluster.admin.Drain(admin_pb2.DrainRequest(), timeout=harness.PATIENCE)
            self.assertEqual(response.remaining_sequences, 0)
            _, _, finishes = gather([chunk, *stream])
            self.assertEqual(finishes[0].usage.completion_tokens, 100)
        finally:
            self.cluster.admin.Drain(admin_pb2.DrainRequest(resume=True))
        self.assertTrue(self.cluster.serving())
        (completion,) = self.unary([1], max_tokens=1)
        self.assertEqual(len(completion.token_ids), 1)

    def test_status_shows_work_under_way(self):
        before = self.cluster.status()
        stream = self.endless(prompt=range(1, 20))
        for _ in range(5):
            next(stream)
        status = self.cluster.status()
        self.assertEqual(status.running_sequences, 1)
        self.assertGreaterEqual(status.generated_tokens, before.generated_tokens + 5)
        self.assertGreaterEqual(status.prompt_tokens, before.prompt_tokens + 19)
        self.assertEqual([w.state for w in status.workers], [admin_pb2.WORKER_STATE_READY] * 2)
        self.assertTrue(all(w.steps > 0 for w in status.workers))
        stream.cancel()


class LoadingTest(harness.ClusterTest):
    """One worker, and models that come and go."""

    def setUp(self):
        self.cluster.wait_for_workers(1)
        self.cluster.admin.UnloadModel(admin_pb2.UnloadModelRequest(), timeout=harness.PATIENCE)

    def test_nothing_loaded_is_said(self):
        self.assertEqual(self.cluster.status().state, admin_pb2.SERVING_STATE_EMPTY)
        self.assertFalse(self.cluster.serving())
        models_ = self.cluster.inference.ListModels(inference_pb2.ListModelsRequest()).models
        self.assertEqual(len(models_), 0)
        with self.assert_fails(UNAVAILABLE, "no model", reason="NO_MODEL"):
            self.unary([1], max_tokens=1)

    def test_load_reports_progress_and_then_answers(self):
        progress = self.cluster.load(harness.GOLDEN_MODELS / "llama-gqa")
        plan = progress[0].plan
        self.assertEqual([s.worker for s in plan.stages], ["w0"])
        self.assertTrue(progress[-1].ready)
        self.assertTrue(self.cluster.serving())
        self.assertTrue(self.cluster.serving("layercake.v1.Inference"))
        status = self.cluster.status()
        self.assertEqual(status.model, "llama-gqa")
        self.assertEqual(status.plan, plan)
        self.assertEqual(status.total_blocks, plan.stages[0].num_blocks)
        self.assertEqual(len(self.unary([1], max_tokens=2, ignore_eos=True)[0].token_ids), 2)

    def test_load_of_what_is_loaded_changes_nothing(self):
        self.cluster.load(harness.GOLDEN_MODELS / "llama-gqa")
        epoch = self.cluster.status().epoch
        progress = self.cluster.load(harness.GOLDEN_MODELS / "llama-gqa")
        self.assertTrue(progress[-1].ready)
        self.assertEqual(self.cluster.status().epoch, epoch)

    def test_another_model_takes_its_place(self):
        self.cluster.load(harness.GOLDEN_MODELS / "llama-gqa", name="one")
        self.cluster.load(harness.GOLDEN_MODELS / "qwen2-tied", name="two")
        (model,) = self.cluster.inference.ListModels(inference_pb2.ListModelsRequest()).models
        self.assertEqual((model.name, model.architecture), ("two", "qwen2"))
        with self.assert_fails(grpc.StatusCode.NOT_FOUND, "one", "two"):
            self.unary([1], model="one", max_tokens=1)

    def test_unload_ends_running_requests_and_is_idempotent(self):
        self.cluster.load(models.slow_model())
        stream = self.stream([1], max_tokens=30000, ignore_eos=True)
        next(stream)
        with self.assert_fails(UNAVAILABLE):
            self.cluster.admin.UnloadModel(admin_pb2.UnloadModelRequest())
            for _ in stream:
                pass
        self.cluster.admin.UnloadModel(admin_pb2.UnloadModelRequest())
        status = self.cluster.status()
        self.assertEqual(status.state, admin_pb2.SERVING_STATE_EMPTY)
        self.assertEqual((status.total_blocks, status.running_sequences), (0, 0))

    def test_plan_tells_without_doing(self):
        request = admin_pb2.PlanModelRequest(model_dir=str(harness.GOLDEN_MODELS / "llama-gqa"))
        plan = self.cluster.admin.PlanModel(request).plan
        self.assertEqual(sum(s.num_layers for s in plan.stages), 3)
        self.assertTrue(all(s.reason for s in plan.stages))
        self.assertEqual(self.cluster.status().state, admin_pb2.SERVING_STATE_EMPTY)

    def test_each_worker_of_a_host_has_its_cap_for_itself(self):
        small = self.cluster.start_worker("small", memory="96MiB")
        try:
            self.cluster.wait_for_workers(2)
            layers = [types_pb2.PlanOptions.LayerRange(worker=w, first_layer=i, num_layers=n)
                      for w, i, n in (("w0", 0, 2), ("small", 2, 1))]
            request = admin_pb2.PlanModelRequest(model_dir=str(harness.GOLDEN_MODELS / "llama-gqa"))
            request.options.policy = types_pb2.PlanOptions.POLICY_MANUAL
            request.options.manual.extend(layers)
            stages = self.cluster.admin.PlanModel(request).plan.stages
            self.assertEqual([s.available_bytes >> 20 for s in stages], [512, 96])
        finally:
            small.kill()
            self.cluster.wait_for_workers(1)

    def test_two_loads_at_once(self):
        """One wins; the other waits its turn or is told that another runs."""
        codes = []

        def load(model):
            try:
                self.cluster.load(model)
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)

        slow = models.slow_model()
        threads = [threading.Thread(target=load, args=(m,))
                   for m in (slow, harness.GOLDEN_MODELS / "llama-gqa")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertIn("OK", codes)
        self.assertLessEqual(set(codes), {"OK", "ABORTED"})

    def test_reflection_lists_the_services(self):
        reflect = self.cluster.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=lambda data: data, response_deserializer=lambda data: data,
        )
        list_services = b"\x3a\x01*"  # field 7, list_services: "*"
        answer = next(reflect(iter([list_services]), timeout=harness.PATIENCE))
        for service in ("Inference", "Admin", "Cluster"):
            self.assertIn(f"layercake.v1.{service}".encode(), answer)
        self.assertIn(b"grpc.health.v1.Health", answer)


if __name__ == "__main__":
    unittest.main()
