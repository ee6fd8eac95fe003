"""Real LayerCake programs on loopback, and a client of them that is not ours: Python's grpcio, with
stubs generated from the protos when the tests start."""

import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import grpc
except ImportError as error:
    raise SystemExit(f"{error}: these tests need the package python3-grpcio") from error

SOURCE_DIR = pathlib.Path(__file__).resolve().parents[3]
BUILD_DIR = pathlib.Path(os.environ.get("LAYERCAKE_BUILD_DIR", SOURCE_DIR / "build/release"))
GOLDEN_MODELS = SOURCE_DIR / "tests/golden/models"
DEMO_MODEL = SOURCE_DIR / "deploy/demo/model"

# How long anything may take on a busy machine; nothing waits this long where all is well.
PATIENCE = float(os.environ.get("LAYERCAKE_TEST_PATIENCE", 60))

TEMP_DIR = pathlib.Path(tempfile.mkdtemp(prefix="layercake-test-"))
atexit.register(shutil.rmtree, TEMP_DIR, ignore_errors=True)


def _generate_stubs():
    # The compiler that the build uses: Debian 12's grpc_tools is too old for optional fields.
    out = TEMP_DIR / "stubs"
    out.mkdir()
    plugin = shutil.which("grpc_python_plugin")
    if plugin is None or shutil.which("protoc") is None:
        raise SystemExit("these tests need protoc and grpc_python_plugin: "
                         "packages protobuf-compiler and protobuf-compiler-grpc")
    protos = SOURCE_DIR / "proto"
    command = ["protoc", f"-I{protos}", f"--python_out={out}", f"--grpc_python_out={out}",
               f"--plugin=protoc-gen-grpc_python={plugin}"]
    subprocess.run(command + sorted(map(str, protos.rglob("*.proto"))), check=True)
    sys.path.insert(0, str(out))


_generate_stubs()

from google.rpc import error_details_pb2  # noqa: E402
from layercake.v1 import (  # noqa: E402
    admin_pb2,
    admin_pb2_grpc,
    cluster_pb2,
    cluster_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    types_pb2,
)


def eventually(condition, what, timeout=PATIENCE):
    """The first true value of `condition()`, asked again and again until `timeout` seconds passed."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def details_of(error):
    """The google.rpc details of an RpcError, by message name: ErrorInfo, BadRequest, RetryInfo."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        found = {}
        for any_ in error_details_pb2.Status.FromString(value).details:
            name = any_.type_url.rpartition(".")[2]
            detail = getattr(error_details_pb2, name)()
            if any_.Unpack(detail):
                found[name] = detail
        return found
    return {}


class Process:
    """A program of ours with its output in a file, dead at the latest when the test program is."""

    def __init__(self, program, arguments, name, **environment):
        self.name = name
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix=f"{name}-", dir=TEMP_DIR)[1])
        path = BUILD_DIR / "bin" / program
        if not path.exists():
            raise SystemExit(f"{path} is not built; set LAYERCAKE_BUILD_DIR")
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(
                [path, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | environment,
            )
        atexit.register(self.kill)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.alive():
            self.popen.kill()
            self.popen.wait()

    def stop(self):
        """Asks it to end, and returns its exit code."""
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.popen.wait(PATIENCE)


class Cluster(contextlib.AbstractContextManager):
    """A coordinator and its workers, named w0, w1, ..., and stubs to call it with."""

    def __init__(self, model=None, workers=1, memory="512MiB", flags=()):
        self.processes = []
        self.flags = list(flags)
        if model is not None:
            self.flags += ["--model", model, "--min-workers", workers]
        self.start_coordinator("127.0.0.1:0")
        self.memory = memory
        self.workers = {}
        for i in range(workers):
            self.start_worker(f"w{i}")
        if model is not None:
            self.wait_for_state(admin_pb2.SERVING_STATE_READY)

    def start_coordinator(self, listen):
        port_file = pathlib.Path(tempfile.mkdtemp(dir=TEMP_DIR)) / "port"
        self.coordinator = Process(
            "layercake-coordinator",
            ["--listen", listen, "--port-file", port_file, *self.flags],
            "coordinator",
        )
        self.processes.append(self.coordinator)
        eventually(
            lambda: port_file.exists() or not self.coordinator.alive(), "the coordinator listens"
        )
        if not port_file.exists():
            raise AssertionError(self.coordinator.log())
        self.address = f"127.0.0.1:{port_file.read_text().strip()}"
        self.connect()

    def connect(self):
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.max_reconnect_backoff_ms", 200)]
        self.channel = grpc.insecure_channel(self.address, options)
        self.admin = admin_pb2_grpc.AdminStub(self.channel)
        self.inference = inference_pb2_grpc.InferenceStub(self.channel)

    def start_worker(self, name, memory=None, device="cpu", program="layercake-worker",
                     flags=(), **environment):
        arguments = ["--coordinator", self.address, "--name", name, "--device", device]
        arguments += ["--memory", memory or self.memory, "--threads", 1]
        arguments += ["--profile", "1e10,1e11", *flags]
        self.workers[name] = Process(program, arguments, name, **environment)
        self.processes.append(self.workers[name])
        return self.workers[name]

    def status(self):
        return self.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=PATIENCE)

    def wait_for_state(self, state, timeout=PATIENCE):
        seen = None

        def reached():
            nonlocal seen
            seen = self.status()
            return seen if seen.state == state else None

        try:
            return eventually(reached, admin_pb2.ServingState.Name(state), timeout)
        except (AssertionError, grpc.RpcError) as error:
            if isinstance(error, grpc.RpcError):
                self.coordinator.popen.wait(PATIENCE)  # it is ending, and its last words say why
            raise AssertionError(f"{error}\n{seen}\n{self.logs()}") from error

    def wait_for_workers(self, count):
        def joined():
            lost = admin_pb2.WORKER_STATE_LOST
            return sum(w.state != lost for w in self.status().workers) == count

        eventually(joined, f"{count} workers are there")

    def wait_idle(self, timeout=PATIENCE):
        """Until no sequence runs or waits and every KV block is free."""

        def idle():
            s = self.status()
            sequences = s.running_sequences + s.waiting_sequences
            return sequences == 0 and s.free_blocks == s.total_blocks

        eventually(idle, "every sequence has gone and every block is free", timeout)

    def load(self, model, name="", **options):
        """Loads and returns all progress messages."""
        request = admin_pb2.LoadModelRequest(
            model_dir=str(model), name=name, options=types_pb2.PlanOptions(**options)
        )
        return list(self.admin.LoadModel(request, timeout=PATIENCE))

    def serving(self, service=""):
        """What grpc.health.v1 says. Its messages are small enough to read by hand."""
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=lambda name: (
                b"\x0a" + bytes([len(name)]) + name.encode() if name else b""
            ),
            response_deserializer=lambda data: data,
        )
        return check(service, timeout=PATIENCE) == b"\x08\x01"

    def logs(self):
        return "".join(f"--- {p.name}\n{p.log()}" for p in self.processes)

    def __exit__(self, *_):
        self.channel.close()
        for process in self.processes:
            process.kill()


def generate_request(prompt, n=None, echo=False, model="", **options):
    """`prompt` is text or token ids. Greedy unless `sampling` is among the options."""
    options.setdefault("sampling", types_pb2.SamplingParams(temperature=0))
    request = inference_pb2.GenerateRequest(
        model=model, options=inference_pb2.GenerateOptions(n=n, echo=echo, **options)
    )
    if isinstance(prompt, str):
        request.text = prompt
    else:
        request.token_ids.ids.extend(prompt)
        request.token_ids.SetInParent()
    return request


class ClusterTest(unittest.TestCase):
    """Tests that share one cluster: subclasses say which."""

    MODEL = None
    WORKERS = 1
    MEMORY = "512MiB"
    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.MODEL, cls.WORKERS, cls.MEMORY, cls.FLAGS)
        cls.addClassCleanup(cls.cluster.__exit__)

    def unary(self, prompt, timeout=PATIENCE, **options):
        """The completions of one request."""
        request = generate_request(prompt, **options)
        return self.cluster.inference.GenerateUnary(request, timeout=timeout).completions

    def stream(self, prompt, timeout=PATIENCE, **options):
        request = generate_request(prompt, **options)
        return self.cluster.inference.Generate(request, timeout=timeout)

    @contextlib.contextmanager
    def assert_fails(self, code, *words, reason=None):
        """The block raises an RpcError of this code whose message holds all the words."""
        with self.assertRaises(grpc.RpcError) as caught:
            yield caught
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        for word in words:
            self.assertIn(word, error.details())
        info = details_of(error).get("ErrorInfo")
        self.assertIsNotNone(info, "every error of ours names its reason")
        self.assertEqual(info.domain, "layercake")
        if reason is not None:
            self.assertEqual(info.reason, reason)


def gather(chunks):
    """Text, ids and the last message of each completion of a stream, checking its grammar."""
    texts, ids, finishes = {}, {}, {}
    for chunk in chunks:
        assert chunk.index not in finishes, "a chunk after the last"
        assert bool(chunk.model) == (chunk.index not in texts), "model: in the first chunk only"
        texts[chunk.index] = texts.get(chunk.index, "") + chunk.text
        ids.setdefault(chunk.index, []).extend(chunk.token_ids)
        if chunk.HasField("finish"):
            finishes[chunk.index] = chunk.finish
    assert finishes.keys() == texts.keys(), "a completion without an end"
    return texts, ids, finishes
