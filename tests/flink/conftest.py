"""One Flink mini-cluster for the session: a JobManager and three TaskManagers of one slot in the JVM behind PyFlink.

Configuration, jars and environment are those of the stack, so what runs here is what is deployed. Jobs are submitted
over REST as to any cluster.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# pytest's plugin of hypothesis imports it at the end of the session. py4j's finalizers, run by the garbage collector inside
# the compiler, then trip over a defect of CPython 3.11 ("AST constructor recursion depth mismatch", gh-106905).
import hypothesis  # noqa: F401
import pytest
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment

from jobs.flink.environment import JobEnvironment, environment
from stack import flink
from stack.config import ROOT, StackConfig

TASKMANAGERS = 3


@dataclass(frozen=True, kw_only=True)
class MiniCluster:
    """Where jobs go."""

    jvm: Any
    host: str
    port: int

    def environment(self, parallelism: int = 1) -> JobEnvironment:
        """A job's environment, as `flink run` would give it one."""
        return environment(parallelism=parallelism, make=self._remote)

    def _remote(self, configuration: Configuration) -> StreamExecutionEnvironment:
        """PyFlink has no call for an environment that submits to a given cluster."""
        address = {"execution.target": "remote", "rest.address": self.host, "rest.port": str(self.port)}
        for key, value in (address | {"execution.attached": "true"}).items():
            configuration.set_string(key, value)
        java = self.jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
        return StreamExecutionEnvironment(java(configuration._j_configuration))

    def jvm_pid(self) -> int:
        """Process id of all TaskManagers."""
        return int(self.jvm.java.lang.ProcessHandle.current().pid())


@pytest.fixture(scope="session")
def minicluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    state: Path = tmp_path_factory.mktemp("minicluster")
    config = StackConfig(state=state)
    flink.prepare(config)
    variables = flink.environment(config) | {"FLINK_HOME": str(flink.home()), "PYTHONPATH": str(ROOT)}
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield from _run(variables["FLINK_CONF_DIR"])
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(conf_dir: str) -> Iterator[MiniCluster]:
    with _gateway(Path(conf_dir)) as jvm:
        configuration = jvm.org.apache.flink.configuration.GlobalConfiguration.loadConfiguration(conf_dir)
        for key in ("rest.port", "rest.bind-port", "jobmanager.rpc.port", "blob.server.port"):
            configuration.setString(key, "0")
        # The sizes are for processes of their own; here all share one heap. Nobody asks for metrics.
        for key in list(configuration.keySet().toArray()):
            if key.startswith(("taskmanager.memory.", "jobmanager.memory.", "metrics.reporter.")):
                configuration.removeKey(key)
        builder = jvm.org.apache.flink.runtime.minicluster.MiniClusterConfiguration.Builder()
        builder = builder.setConfiguration(configuration).setNumTaskManagers(TASKMANAGERS).setNumSlotsPerTaskManager(1)
        cluster = jvm.org.apache.flink.runtime.minicluster.MiniCluster(builder.build())
        cluster.start()
        address = cluster.getRestAddress().get()
        yield MiniCluster(jvm=jvm, host=str(address.getHost()), port=int(address.getPort()))
        cluster.close()


@contextmanager
def _gateway(folder: Path) -> Iterator[Any]:
    """PyFlink's JVM. Started as PyFlink does, but the process is kept, so that it can be ended and its log read."""
    from pyflink.java_gateway import get_gateway
    from pyflink.pyflink_gateway_server import launch_gateway_server_process

    port_file = folder / "gateway-port"
    variables = dict(os.environ) | {"_PYFLINK_CONN_INFO_PATH": str(port_file)}
    arguments = ["-c", "org.apache.flink.client.python.PythonGatewayServer", "local"]
    process = launch_gateway_server_process(variables, arguments)
    drain = threading.Thread(target=_copy, args=(process.stderr, folder / "jvm.log"), daemon=True)
    drain.start()
    try:
        deadline = time.monotonic() + 60
        while not (port_file.exists() and port_file.stat().st_size >= 4):
            assert process.poll() is None, (folder / "jvm.log").read_text()
            assert time.monotonic() < deadline, "the JVM did not come up"
            time.sleep(0.05)
        os.environ["PYFLINK_GATEWAY_PORT"] = str(struct.unpack("!I", port_file.read_bytes()[:4])[0])
        gateway = get_gateway()
        yield gateway.jvm
        gateway.shutdown()
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(30)
        drain.join(10)
        process.stderr.close()


def _copy(stream: IO[bytes], path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for line in stream:
            file.write(line)


@pytest.fixture
def make_environment(minicluster: MiniCluster) -> Callable[[int], JobEnvironment]:
    """Environments by parallelism."""
    return minicluster.environment
