#!/usr/bin/env python3
"""Lays `layercake simulate` beside `layercake bench` on a cluster that it starts on this host.

    compare_simulation.py MODEL_DIR --workers 1,1 --load "--concurrency 8 --requests 32" [--load ...]

--workers lists threads, one number per CPU worker. Each load is the flags that both commands take; the
plan simulated is the one in force. Prints a table of both and their ratio; exit code 1 if a throughput
or a median wait is off by more than --tolerance.
"""

import argparse
import json
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


class Cluster:
    def __init__(self, args, directory):
        self.bin = args.bin
        port_file = Path(directory) / "port"
        self.children = []
        self.start("layercake-coordinator", "--listen", "127.0.0.1:0", "--port-file", port_file,
                   "--model", args.model.resolve(), "--min-workers", len(args.workers),
                   *shlex.split(args.plan_flags))
        while not port_file.exists():
            self.check()
        self.address = f"127.0.0.1:{port_file.read_text().strip()}"
        for i, threads in enumerate(args.workers):
            self.start("layercake-worker", "--coordinator", self.address, "--name", f"cpu-{i}",
                       "--listen", "127.0.0.1:0", "--threads", threads)
        while self.layercake("status")["state"] != "SERVING_STATE_READY":
            self.check()

    def start(self, program, *flags):
        self.children.append(subprocess.Popen(
            [self.bin / program, *map(str, flags), "--exit-with-parent"], stderr=subprocess.DEVNULL))

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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--bin", type=Path, default=Path("build/release/bin"))
    parser.add_argument("--workers", type=lambda text: text.split(","), default=["1", "1"])
    parser.add_argument("--plan-flags", default="", help="of the coordinator, e.g. '--context 2048'")
    parser.add_argument("--load", action="append", required=True)
    parser.add_argument("--tolerance", type=float, default=0.1)
    args = parser.parse_args()
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
