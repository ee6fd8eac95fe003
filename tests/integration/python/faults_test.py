"""Workers and coordinators that die, hang and come back."""

import signal
import time
import unittest

import detection
import grpc
import harness
import models
from harness import admin_pb2, cluster_pb2, cluster_pb2_grpc, details_of, eventually

READY = admin_pb2.SERVING_STATE_READY
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class FaultTest(unittest.TestCase):
    HALF = detection.MEMORY
    WHOLE = "512MiB"

    def start(self, memory, workers=2):
        cluster = harness.Cluster(models.slow_model(), workers, memory, detection.FLAGS)
        self.addCleanup(cluster.__exit__)
        self.addCleanup(self.print_logs_of_failure, cluster)
        return cluster

    def print_logs_of_failure(self, cluster):
        result = self._outcome.result if self._outcome else None
        if result and any(test is self for test, _ in result.failures + result.errors):
            print(cluster.logs())

    def seconds_until_all_end(self, streams, since):
        """And checks that each ends with UNAVAILABLE, in words and details."""
        ended = detection.read_to_the_end(streams, since)
        self.assertEqual(len(ended), len(streams))
        for _, error in ended:
            self.assertEqual(error.code(), UNAVAILABLE, error.details())
            self.assertIn("worker w1", error.details(), "the one that died is named")
            self.assertIn("RetryInfo", details_of(error))
            self.assertIn("ErrorInfo", details_of(error))
        return max(seconds for seconds, _ in ended)

    def answer(self, cluster, count=5):
        request = harness.generate_request([7, 8], max_tokens=count, ignore_eos=True)
        response = cluster.inference.GenerateUnary(request, timeout=harness.PATIENCE)
        return list(response.completions[0].token_ids)

    def test_killed_worker_ends_its_requests_at_once(self):
        cluster = self.start(self.HALF)
        self.assertEqual(len(cluster.status().plan.stages), 2)
        streams = detection.open_streams(cluster, 4)
        since = time.monotonic()
        cluster.workers["w1"].kill()
        self.assertLess(self.seconds_until_all_end(streams, since), 1)
        # Half of the model fits nowhere: the coordinator lives, and says what is wrong.
        status = cluster.wait_for_state(admin_pb2.SERVING_STATE_DEGRADED)
        self.assertNotEqual(status.detail, "")
        self.assertFalse(cluster.serving())
        with self.assertRaises(grpc.RpcError) as caught:
            self.answer(cluster)
        self.assertEqual(caught.exception.code(), UNAVAILABLE)

        cluster.start_worker("w1")
        status = cluster.wait_for_state(READY)
        self.assertEqual(len(status.plan.stages), 2)
        self.assertEqual(self.answer(cluster), [0] * 5)
        self.assertTrue(cluster.serving())
        cluster.wait_idle()

    def test_the_others_take_over_a_dead_workers_layers(self):
        cluster = self.start(self.WHOLE)
        cluster.workers["w1"].kill()
        eventually(
            lambda: (s := cluster.status()).state == READY
            and [stage.worker for stage in s.plan.stages] == ["w0"],
            "w0 serves alone")
        self.assertEqual(self.answer(cluster), [0] * 5)

    def test_hanging_worker_ends_its_requests_within_three_seconds(self):
        cluster = self.start(self.HALF)
        streams = detection.open_streams(cluster, 2)
        since = time.monotonic()
        worker = cluster.workers["w1"]
        worker.signal(signal.SIGSTOP)
        self.addCleanup(worker.signal, signal.SIGCONT)
        self.assertLess(self.seconds_until_all_end(streams, since), 3)
        cluster.wait_for_state(admin_pb2.SERVING_STATE_DEGRADED)

        worker.signal(signal.SIGCONT)
        status = cluster.wait_for_state(READY)
        self.assertEqual(len(status.plan.stages), 2)
        self.assertEqual(self.answer(cluster), [0] * 5)

    def test_faults_follow_each_other(self):
        cluster = self.start(self.HALF)
        for fault, limit in ((signal.SIGKILL, 1), (signal.SIGSTOP, 3)):
            for worker in ("w0", "w1"):
                with self.subTest(fault=fault.name, worker=worker):
                    self.assertLess(detection.one_round(cluster, worker, fault), limit)
        cluster.wait_idle()

    def test_worker_that_stops_in_order_is_no_surprise(self):
        cluster = self.start(self.HALF)
        streams = detection.open_streams(cluster, 2)
        since = time.monotonic()
        self.assertEqual(cluster.workers["w1"].stop(), 0)
        self.seconds_until_all_end(streams, since)
        cluster.start_worker("w1")
        cluster.wait_for_state(READY)

    def test_workers_come_back_to_a_coordinator_that_was_restarted(self):
        cluster = self.start(self.HALF)
        streams = detection.open_streams(cluster, 1)
        cluster.coordinator.kill()
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in streams[0]:
                pass
        self.assertEqual(caught.exception.code(), UNAVAILABLE)
        cluster.channel.close()
        cluster.start_coordinator(cluster.address)
        cluster.wait_for_state(READY)
        self.assertTrue(all(worker.alive() for worker in cluster.workers.values()))
        self.assertEqual(self.answer(cluster), [0] * 5)

    def test_coordinator_ends_its_calls_when_it_stops(self):
        cluster = self.start(self.WHOLE, workers=1)
        (stream,) = detection.open_streams(cluster, 1)
        self.assertEqual(cluster.coordinator.stop(), 0)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(caught.exception.code(), UNAVAILABLE)


class StrangerTest(harness.ClusterTest):
    """Workers that the coordinator must not take in."""

    def join(self, **hello):
        hello = {"protocol_version": 3, "version": "0.1.0", "name": "stranger",
                 "address": "127.0.0.1:1", "host": "here", **hello}
        hello.setdefault("device", harness.types_pb2.Device(
            kind=harness.types_pb2.DEVICE_KIND_CPU, name="cpu", total_bytes=1 << 30,
            free_bytes=1 << 30))
        message = cluster_pb2.WorkerMessage(hello=cluster_pb2.Hello(**hello))
        stub = cluster_pb2_grpc.ClusterStub(self.cluster.channel)
        return next(stub.Join(iter([message]), timeout=harness.PATIENCE))

    def test_another_protocol_version_is_told_what_to_install(self):
        with self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "9.9.9", "version", "install"):
            self.join(protocol_version=999, version="9.9.9")

    def test_a_name_that_is_taken(self):
        self.cluster.wait_for_workers(1)
        with self.assert_fails(grpc.StatusCode.ALREADY_EXISTS, "w0", "--name"):
            self.join(name="w0")

    def test_hello_without_a_name_an_address_or_a_device(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        with self.assert_fails(invalid, "name"):
            self.join(name="")
        with self.assert_fails(invalid, "address"):
            self.join(address="")
        with self.assert_fails(invalid, "device"):
            self.join(device=harness.types_pb2.Device())


if __name__ == "__main__":
    unittest.main()
