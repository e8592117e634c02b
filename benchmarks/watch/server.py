"""The server under test: `python -m serving` as it is installed, on a broker of its own, without a database."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from base.errors import UnavailableError
from base.settings import KafkaSettings
from base.toml import to_toml
from benchmarks.processes import Usage, usage_of
from benchmarks.watch.streams import Address
from stack.config import ROOT

START_S = 90.0
_MANY = 1_000_000
_LIMITS = {
    # All readers are one principal here. What a principal may ask for is not the question; what a process does at most is.
    **dict.fromkeys(("requests_per_s", "burst", "commands_per_s", "commands_burst", "open_streams"), _MANY),
    "total_streams": _MANY,
}


class Serving:
    """A process. Use it as a context."""

    def __init__(self, folder: Path, kafka: KafkaSettings, *, host: str, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address = Address(grpc=f"{host}:{port}", http=f"{host}:{port + 1}")
        self._log, self._file = folder / f"serving-{port}.log", folder / f"serving-{port}.toml"
        self._file.write_text(
            to_toml(
                {
                    "listen": self.address.grpc,
                    "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
                    "http": {"listen": self.address.http, "connections": _MANY},
                    "limits": _LIMITS,
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving", "--config", str(self._file)], cwd=ROOT, stdout=log, stderr=log
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()  # it holds nothing that has to be finished, and thousands of streams would be ended one by one
        self._process.wait()

    def until_ready(self) -> None:
        """Wait until all its caches are current. Raises UnavailableError."""
        assert self._process is not None
        deadline = time.monotonic() + START_S
        with grpc.insecure_channel(self.address.grpc) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.RpcError as error:
                    last = str(error)
                else:
                    last = "not ready"
                if self._process.poll() is not None or time.monotonic() > deadline:
                    msg = f"the server is not ready ({last}); {self._log} says why"
                    raise UnavailableError(msg)
                time.sleep(0.1)

    def usage(self) -> Usage:
        """CPU and memory of the process until now."""
        assert self._process is not None
        return usage_of(psutil.Process(self._process.pid))
