"""The Kafka broker of the stack: one node, KRaft, started from the jars that Maven fetched.

Leaves: `server.properties`, a formatted log folder, the broker's command line, a health check.
"""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from base import base64url
from stack import class_archives, java, trust
from stack.config import ROOT, TOOLS, StackConfig
from stack.errors import StepError
from stack.health import probes
from stack.health.answer import Health

NODE = 1
"""The broker's number."""
_JARS = TOOLS / "jars" / "kafka"


def properties_file(config: StackConfig) -> Path:
    """Where the broker's configuration is rendered."""
    return config.config / "kafka.properties"


def _classes(config: StackConfig) -> Path:
    return config.config / "kafka-classes.args"


def log_dir(config: StackConfig) -> Path:
    """Where the topics live."""
    return config.data / "kafka"


def command(config: StackConfig) -> tuple[str, ...]:
    """The broker in the foreground."""
    heap = f"{config.memory.kafka_heap_mb}m"
    return _java(
        f"@{_classes(config)}",
        "-Xms256m",
        f"-Xmx{heap}",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "kafka.Kafka",
        str(properties_file(config)),
    )


def prepare(config: StackConfig) -> None:
    """Write the configuration and format the log folder when it is new."""
    properties_file(config).write_text(_properties(config))
    options = class_archives.options("kafka", sorted(_JARS.glob("*.jar")), config.instance_id).first
    _classes(config).write_text("".join(f'"{option}"\n' for option in options))
    if (log_dir(config) / "meta.properties").exists():
        return
    random = uuid.uuid4().bytes
    # The first bit decides that the text cannot begin with "-", which the tool would take for an option.
    cluster_id = base64url.encode(bytes([random[0] & 0x7F]) + random[1:])
    arguments = (
        "kafka.tools.StorageTool",
        "format",
        "--config",
        str(properties_file(config)),
        "--cluster-id",
        cluster_id,
    )
    result = subprocess.run(_java(*arguments), capture_output=True, text=True, check=False)
    if result.returncode:
        msg = f"Kafka could not format {log_dir(config)}:\n{result.stdout}{result.stderr}"
        raise StepError(msg)


def health(config: StackConfig) -> Health:
    """Whether the broker answers a metadata request."""
    return probes.kafka_health(config.bootstrap_servers)


def _java(*arguments: str) -> tuple[str, ...]:
    log4j = ROOT / "stack" / "kafka-log4j2.properties"
    return (str(java.executable()), "-cp", f"{_JARS}/*", f"-Dlog4j2.configurationFile={log4j}", *arguments)


def _properties(config: StackConfig) -> str:
    broker, controller = f"{config.host}:{config.ports.kafka}", f"{config.host}:{config.ports.kafka_controller}"
    rows = {
        "process.roles": "broker,controller",
        "node.id": NODE,
        "controller.quorum.voters": f"{NODE}@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker},SSL://{config.kafka_tls},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker},SSL://{config.kafka_tls}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
        **trust.broker_settings(config),
        "log.dirs": log_dir(config),
        # The topic table is the only place that makes topics; a typing error must not make one.
        "auto.create.topics.enable": "false",
        # A broker that was killed may not register again before the session of its predecessor is over: 9 s by default, half of the time
        # until samples flow again. Controller and broker are one process here and are paused together, so a short session costs nothing.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # One node: nothing can be replicated.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # The first member of a consumer group need not wait for others.
        "group.initial.rebalance.delay.ms": 0,
        # Frames of 10,000 samples with verdicts are ~250 KB; leave room.
        "message.max.bytes": 4194304,
        # Its default of 128 MB is a fifth of the heap; the compacted topics are small.
        "log.cleaner.dedupe.buffer.size": 33554432,
    }
    return "# Rendered by `python -m stack`; edits are overwritten.\n" + "".join(
        f"{key}={value}\n" for key, value in rows.items()
    )
