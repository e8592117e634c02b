"""The graphs as they would be submitted: thread mode, a uid on everything with state, one name per uid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from base.settings import KafkaSettings, PostgresSettings
from historian import positions
from jobs import alarms, commands, historian, telemetry
from jobs.config import JobConfig
from jobs.flink import kafka
from jobs.flink.environment import JobEnvironment
from schemas import topics
from tests.flink.conftest import MiniCluster

CONFIG = JobConfig(
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"), postgres=PostgresSettings(dsn="host=127.0.0.1")
)


def wire_telemetry(env: JobEnvironment) -> None:
    telemetry.wire(env, CONFIG)


def wire_historian(env: JobEnvironment) -> None:
    historian.wire(env, CONFIG)


def wire_commands(env: JobEnvironment) -> None:
    commands.wire(env, CONFIG)


def wire_alarms(env: JobEnvironment) -> None:
    alarms.wire(env, CONFIG)


WIRES = {
    "alarms": (wire_alarms, {"alarms-records", "alarms-definitions", "alarms", "alarms-outputs"}),
    "telemetry": (wire_telemetry, {"telemetry-frames", "telemetry-registry", "telemetry", "telemetry-outputs"}),
    "historian": (wire_historian, {"historian-messages", "historian", "historian-rejected"}),
    "commands": (wire_commands, {"commands-records", "commands", "commands-outputs"}),
}


def nodes(env: JobEnvironment) -> list[Any]:
    return list(env.stream_graph().getStreamNodes().toArray())


def operator_class(node: Any) -> str:
    """Simple name of the operator, or of its factory."""
    factory = node.getOperatorFactory()
    name = str(factory.getClass().getSimpleName())
    return str(factory.getOperator().getClass().getSimpleName()) if name == "SimpleOperatorFactory" else name


@pytest.mark.parametrize("job", WIRES)
def test_everything_with_state_has_a_uid_of_its_own(minicluster: MiniCluster, job: str) -> None:
    wire, expected = WIRES[job]
    env = minicluster.environment()
    wire(env)
    uids = {str(node.getTransformationUID()) for node in nodes(env) if node.getTransformationUID()}
    # A sink is one transformation and two operators; Flink derives theirs from its uid.
    assert {uid.removeprefix("Sink Committer: ") for uid in uids} == expected
    stateful = ("SourceOperatorFactory", "SinkWriterOperatorFactory", "CommitterOperatorFactory", "EmbeddedPythonKeyed")
    for node in nodes(env):
        if operator_class(node).startswith(stateful):
            assert node.getTransformationUID(), f"{node.getOperatorName()} has no uid"


@pytest.mark.parametrize("job", WIRES)
def test_python_runs_in_thread_mode(minicluster: MiniCluster, job: str) -> None:
    env = minicluster.environment()
    WIRES[job][0](env)
    python = [name for name in map(operator_class, nodes(env)) if "Python" in name]
    assert python
    assert all(name.startswith("EmbeddedPython") for name in python), python


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_the_highest_parallelism_is_fixed(make_environment: Callable[[int], JobEnvironment], parallelism: int) -> None:
    env = make_environment(parallelism)
    wire_commands(env)
    keyed = [node for node in nodes(env) if operator_class(node).startswith("EmbeddedPythonKeyed")]
    assert [(node.getParallelism(), node.getMaxParallelism()) for node in keyed] == [(parallelism, 128)]


def test_patterns_match_the_topics_of_the_table_and_no_others() -> None:
    import re

    read = re.compile(kafka.any_of(positions.INPUTS))
    assert read.fullmatch("device.events.north")
    assert read.fullmatch("telemetry.validated")
    assert not read.fullmatch("telemetry.frames.north")
    assert not read.fullmatch("telemetryXvalidated")
    assert re.fullmatch(topics.FRAMES.pattern, "telemetry.frames.north-2")
