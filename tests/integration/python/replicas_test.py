"""Two replicas of the pipeline, each on a worker of its own."""

import unittest

import grpc
import harness
import models
from harness import eventually, gather


class ReplicasTest(harness.ClusterTest):
    WORKERS = 2

    def setUp(self):
        self.cluster.wait_for_workers(2)

    def replicas(self):
        return self.cluster.status().replicas

    def test_the_answer_is_the_same_on_either(self):
        model = harness.GOLDEN_MODELS / "llama-gqa"
        prompts = [list(range(i, i + 9)) for i in range(3, 11)]
        self.cluster.load(model, replicas=1)
        expected = [list(self.unary(p, max_tokens=24, ignore_eos=True)[0].token_ids)
                    for p in prompts]

        plan = self.cluster.load(model, replicas=2)[0].plan
        self.assertEqual(plan.num_replicas, 2)
        self.assertEqual({s.worker for s in plan.stages}, {"w0", "w1"})
        streams = [self.stream(p, max_tokens=24, ignore_eos=True) for p in prompts]
        self.assertEqual([gather(stream)[1][0] for stream in streams], expected)
        for replica in self.replicas():
            self.assertTrue(replica.ready)
            self.assertGreater(replica.generated_tokens, 0, "both had a part")
        self.assertTrue(all(worker.steps > 0 for worker in self.cluster.status().workers))

    def test_a_death_ends_one_replicas_requests_and_the_other_goes_on(self):
        self.cluster.load(models.slow_model(), replicas=2, context_tokens=4096)
        prompts = [[1, i] for i in range(4)]
        streams = [self.stream(p, max_tokens=4000, ignore_eos=True) for p in prompts]
        for stream in streams:
            next(stream)
        self.assertEqual([r.running_sequences for r in self.replicas()], [2, 2])

        self.cluster.workers["w1"].kill()
        survivors = []
        for stream in streams:
            try:
                for _ in range(20):
                    next(stream)
                survivors.append(stream)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
                self.assertIn("worker w1", error.details())
        self.assertEqual(len(survivors), 2)
        self.assertTrue(self.cluster.serving())
        self.assertEqual(list(self.unary([7], max_tokens=3, ignore_eos=True)[0].token_ids),
                         [0, 0, 0])
        self.assertIn("worker w1", self.cluster.status().detail)

        # Back again, it gets its replica while the other's clients go on reading.
        self.cluster.start_worker("w1")
        eventually(lambda: [r.ready for r in self.replicas()] == [True, True], "both serve")
        self.assertEqual(self.cluster.status().detail, "")
        for stream in survivors:
            next(stream)
            stream.cancel()
        self.cluster.wait_idle()


if __name__ == "__main__":
    unittest.main()
