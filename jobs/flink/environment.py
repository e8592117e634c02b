"""The execution environment of a job: thread mode, fixed maximum parallelism, tables beside streams.

What belongs to the cluster (checkpoints, restart strategy, state backend, class loading) comes from its
configuration, not from here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from base import plan

MAX_PARALLELISM = 128
"""Number of key groups. Part of every savepoint: it can never change, and `shards` is laid out for it."""


@dataclass(frozen=True, kw_only=True)
class JobEnvironment:
    """PyFlink's two environments over the same graph."""

    stream: StreamExecutionEnvironment
    table: StreamTableEnvironment

    def transformations(self) -> list[Any]:
        """Java transformations attached so far."""
        return list(self.stream._j_stream_execution_environment.getTransformations())

    def stream_graph(self) -> Any:
        """The Java stream graph as it would be submitted; the environment stays usable."""
        return self.stream._j_stream_execution_environment.getStreamGraph(False)


def environment(
    *,
    parallelism: int,
    buffer_timeout_ms: int | None = None,
    make: Callable[[Configuration], StreamExecutionEnvironment] = StreamExecutionEnvironment.get_execution_environment,
) -> JobEnvironment:
    """Environment of one job. `make` is for tests, which submit to a cluster of their own."""
    configuration = Configuration()
    settings = {
        "python.execution-mode": "thread",
        # The interpreter that runs this is the one that has the dependencies.
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "pipeline.max-parallelism": str(MAX_PARALLELISM),
    }
    for key, value in settings.items():
        configuration.set_string(key, value)
    stream = make(configuration)
    stream.set_parallelism(parallelism)
    if buffer_timeout_ms is not None:
        stream.set_buffer_timeout(buffer_timeout_ms)
    return JobEnvironment(stream=stream, table=StreamTableEnvironment.create(stream))


def execute(stream: StreamExecutionEnvironment, name: str) -> None:
    """Submit what was built, as `stream.execute(name)` does; keep its plan instead where the environment names a file (`base.plan`)."""
    graph = stream._generate_stream_graph(clear_transformations=True, job_name=name)
    environment = stream._j_stream_execution_environment
    if file := os.environ.get(plan.VARIABLE):
        Path(file).write_bytes(_plan(graph, environment.getConfiguration()))
    else:
        environment.execute(graph)


def _plan(graph: Any, configuration: Any) -> bytes:
    """What Flink's client does with a graph before it sends it, and the bytes that it would send, with open places."""
    flink = get_gateway().jvm.org.apache.flink
    settings = flink.runtime.jobgraph.SavepointRestoreSettings
    finished = flink.client.deployment.executors.PipelineExecutorUtils.getStreamGraph(graph, configuration)
    finished.serializeUserDefinedInstances()
    finished.setJobId(flink.api.common.JobID.fromHexString(plan.OPEN_ID))
    finished.setSavepointRestoreSettings(settings.none())
    anew = _serialized(finished)
    onward = settings.forPath(plan.OPEN_RESTORE, False, flink.core.execution.RecoveryClaimMode.NO_CLAIM)
    finished.setSavepointRestoreSettings(onward)
    return plan.kept(anew=anew, onward=_serialized(finished))


def _serialized(graph: Any) -> bytes:
    java = get_gateway().jvm.java
    written = java.io.ByteArrayOutputStream()
    out = java.io.ObjectOutputStream(written)
    try:
        out.writeObject(graph)
    finally:
        out.close()
    return bytes(written.toByteArray())
