"""Memory that another process takes and gives back: status shows it, and plans reckon with it."""

import mmap
import unittest

import harness
from harness import eventually

TAKEN = 1 << 30
# What is seen of it: the rest of the machine takes and gives, too.
SEEN = TAKEN // 2


class MemoryTest(harness.ClusterTest):
    MEMORY = "1024GiB"  # no cap that binds: free is what the host has

    def setUp(self):
        self.cluster.wait_for_workers(1)

    def free(self):
        return self.cluster.status().workers[0].device.free_bytes

    def plan(self, reserve):
        """How `layercake plan` over the live worker ends, and what it says."""
        arguments = ["plan", "--address", self.cluster.address, "--cluster", "live",
                     "--model", harness.GOLDEN_MODELS / "llama-gqa", "--reserve", reserve]
        process = harness.Process("layercake", arguments, "plan")
        return process.popen.wait(harness.PATIENCE), process.log()

    def test_memory_taken_by_another_process_shows_until_it_is_given_back(self):
        before = self.free()
        reserve = before - SEEN  # so that a plan has SEEN to give to the model
        code, text = self.plan(reserve)
        self.assertEqual(code, 0, text)

        with mmap.mmap(-1, TAKEN) as taken:
            for page in range(0, TAKEN, mmap.PAGESIZE):
                taken[page] = 1
            eventually(lambda: self.free() < before - SEEN, "status shows what was taken")
            code, text = self.plan(reserve)
            self.assertNotEqual(code, 0, text)
            self.assertIn("short by", text)

        eventually(lambda: self.free() > before - SEEN, "status shows what was given back")
        eventually(lambda: self.plan(reserve)[0] == 0, "a plan fits again")


if __name__ == "__main__":
    unittest.main()
