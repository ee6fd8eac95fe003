#!/usr/bin/env python3
"""Lays `layercake simulate` beside `layercake bench` on a cluster that it starts on this host.

    compare_simulation.py MODEL_DIR --workers 1,1 --load "--concurrency 8 --requests 32" [--load ...]

--workers lists threads, one number per CPU worker; --quota the cores each may use on average (0.5), by the
kernel's control groups, which takes root. Each load is the flags that both commands take; the
plan simulated is the one in force. Prints a table of both and their ratio; exit code 1 if a throughput
or a median wait is off by more than --tolerance.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIGURES = [
    ("generation, tokens/s", lambda r: r["outputTokensPerSecond"]),
    ("first token, p50 ms", lambda r: r["firstTokenMs"]["p50"]),
    ("first token, p99 ms", lambda r: r["firstTokenMs"]["p99"]),
    ("between tokens, p50 ms", lambda r: r["betweenTokensMs"]["p50"]),
    ("between tokens, p99 ms", lambda r: r["betweenTokensMs"]["p99"]),
]
JUDGED = {"generation, tokens/s", "first token, p50 ms", "between tokens, p50 ms"}


class Quota:
    """A control group whose processes together get so many cores, whichever version the kernel has."""

    PERIOD_US = 100_000  # the kernel's default

    def __init__(self, name, cores):
        quota = int(cores * self.PERIOD_US)
        first = Path("/sys/fs/cgroup/cpu")
        self.path = (first if first.exists() else Path("/sys/fs/cgroup")) / name
        self.path.mkdir(exist_ok=True)
        if first.exists():
            (self.path / "cpu.cfs_period_us").write_text(str(self.PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota} {self.PERIOD_US}")

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        self.path.rmdir()


class Cluster:
    def __init__(self, args, directory):
        self.bin = args.bin
        port_file = Path(directory) / "port"
        self.children, self.quotas = [], []
        try:
            self.begin(args, port_file)
        except BaseException:
            self.stop()
            raise

    def begin(self, args, port_file):
        self.quotas = [Quota(f"layercake-{os.getpid()}-{i}", q) for i, q in enumerate(args.quota)]
        self.start("layercake-coordinator", "--listen", "127.0.0.1:0", "--port-file", port_file,
                   "--model", args.model.resolve(), "--min-workers", len(args.workers),
                   *shlex.split(args.plan_flags))
        while not port_file.exists():
            self.check()
        self.address = f"127.0.0.1:{port_file.read_text().strip()}"
        for i, threads in enumerate(args.workers):
            self.start("layercake-worker", "--coordinator", self.address, "--name", f"cpu-{i}",
                       "--listen", "127.0.0.1:0", "--threads", threads,
                       enter=self.quotas[i].enter if self.quotas else None)
        while self.layercake("status")["state"] != "SERVING_STATE_READY":
            self.check()

    def start(self, program, *flags, enter=None):
        self.children.append(subprocess.Popen(
            [self.bin / program, *map(str, flags), "--exit-with-parent"], stderr=subprocess.DEVNULL,
            preexec_fn=enter))

    def check(self):
        if any(child.poll() is not None for child in self.children):
            sys.exit("a program of the cluster has ended")
        time.sleep(0.1)

    def layercake(self, *flags):
        result = subprocess.run(
            [self.bin / "layercake", *flags, "--address", self.address, "-o", "json"],
            stdout=subprocess.PIPE, check=True)
        return json.loads(result.stdout)

    def stop(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()
        for quota in self.quotas:
            quota.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--bin", type=Path, default=Path("build/release/bin"))
    parser.add_argument("--workers", type=lambda text: text.split(","), default=["1", "1"])
    parser.add_argument("--quota", type=lambda text: [float(q) for q in text.split(",")], default=[])
    parser.add_argument("--plan-flags", default="", help="of the coordinator, e.g. '--context 2048'")
    parser.add_argument("--load", action="append", required=True)
    parser.add_argument("--tolerance", type=float, default=0.1)
    args = parser.parse_args()
    if args.quota and len(args.quota) != len(args.workers):
        parser.error("--quota wants one number per worker")
    good = True
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(args, directory)
        try:
            print(f"{'load':52} {'':24} {'simulated':>10} {'real':>10} {'ratio':>7}")
            for load in args.load:
                real = cluster.layercake("bench", *shlex.split(load))
                simulated = cluster.layercake("simulate", *shlex.split(load))
                for name, figure in FIGURES:
                    ratio = figure(simulated) / figure(real)
                    good &= name not in JUDGED or abs(ratio - 1) <= args.tolerance
                    print(f"{load:52} {name:24} {figure(simulated):10.4g} {figure(real):10.4g} "
                          f"{ratio:7.3f}")
        finally:
            cluster.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
