#!/usr/bin/python3
"""How soon a client hears that a worker died or hangs: real processes, many rounds, percentiles.

    tests/integration/python/detection.py --kills 50 --stops 50

In each round four clients stream from a pipeline of two workers; one of the two, in turn the first and
the last stage, is killed (SIGKILL) or stopped (SIGSTOP) in the middle; the time is from the signal until
the last client has its UNAVAILABLE. Then the worker comes back and the model is placed again.
"""

import argparse
import json
import pathlib
import signal
import threading
import time

import grpc
import harness
import models
from harness import admin_pb2

NUM_CLIENTS = 4
# Memory for a good half of the slow model with KV and workspace: both workers are needed.
MEMORY = "56MiB"
FLAGS = ("--context", 2048, "--reserve", 0)


def start_cluster():
    return harness.Cluster(models.slow_model(), workers=2, memory=MEMORY, flags=FLAGS)


def open_streams(cluster, count=NUM_CLIENTS):
    """Streams that would go on for long, each with its first token."""
    request = lambda i: harness.generate_request([1, i], max_tokens=1900, ignore_eos=True)
    streams = [cluster.inference.Generate(request(i)) for i in range(count)]
    for stream in streams:
        next(stream)
    return streams


def read_to_the_end(streams, since):
    """[(seconds after `since`, RpcError or None)], one per stream. Nobody may hang."""
    ended = []

    def read(stream):
        error = None
        try:
            for _ in stream:
                pass
        except grpc.RpcError as caught:
            error = caught
        ended.append((time.monotonic() - since, error))

    threads = [threading.Thread(target=read, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(harness.PATIENCE)
        assert not thread.is_alive(), "a client hangs"
    return ended


def one_round(cluster, name, fault):
    """Seconds from the fault until the last client knew; the cluster is whole again afterwards."""
    streams = open_streams(cluster)
    worker = cluster.workers[name]
    since = time.monotonic()
    worker.signal(fault)
    ended = read_to_the_end(streams, since)
    for seconds, error in ended:
        if (error is None or error.code() != grpc.StatusCode.UNAVAILABLE
                or f"worker {name}" not in error.details()):
            raise AssertionError(f"{fault.name} of {name}, a client's call ended after {seconds} s "
                                 f"with {error or 'success'}\n{cluster.status()}{cluster.logs()}")
    if fault == signal.SIGKILL:
        worker.popen.wait()
        cluster.start_worker(name)
    else:
        worker.signal(signal.SIGCONT)
    cluster.wait_for_state(admin_pb2.SERVING_STATE_DEGRADED)
    cluster.wait_for_state(admin_pb2.SERVING_STATE_READY)
    return max(seconds for seconds, _ in ended)


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--samples", type=pathlib.Path,
                        help="file that samples are added to; the figures are of all in it")
    arguments = parser.parse_args()
    samples = {"killed": [], "stopped": []}
    if arguments.samples and arguments.samples.exists():
        samples = json.loads(arguments.samples.read_text())
    with start_cluster() as cluster:
        for kind, fault, rounds in (("killed", signal.SIGKILL, arguments.kills),
                                    ("stopped", signal.SIGSTOP, arguments.stops)):
            for i in range(rounds):
                samples[kind].append(one_round(cluster, f"w{i % 2}", fault))
    if arguments.samples:
        arguments.samples.write_text(json.dumps(samples))
    for kind, seconds in samples.items():
        if seconds:
            print(f"{kind:8} {len(seconds):4} rounds: p50 {percentile(seconds, 0.5) * 1000:.0f} ms, "
                  f"p99 {percentile(seconds, 0.99) * 1000:.0f} ms, max {max(seconds) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
