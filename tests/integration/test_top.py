"""`top --once` against a real broker and database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from uuid import uuid4

from confluent_kafka import TopicPartition

from base.settings import KafkaSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from connectors.kafka.offsets import OffsetReader, lag
from historian.migrator import migrate
from schemas import topics
from stack import postgres, postgres_roles, render
from stack.config import ROOT
from stack.instance import Instance


def test_a_snapshot_of_a_running_instance(stack: Instance) -> None:
    config = stack.require("kafka", "postgres")
    postgres_roles.create_database(config)
    migrate(postgres.dsn(config), timescaledb=config.timescaledb)
    settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    kafka_admin.apply(settings, ("toptest",))
    kafka.send(kafka.producer(settings), topics.FRAMES.for_site("toptest"), [(b"k", b"v")] * 5)
    command = [sys.executable, "-m", "stack.top", "--once", "--interval-s", "0.1"]
    environment = os.environ | render.instance_environment(config)
    text = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "samples stored" in text.stdout
    result = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    snapshot = json.loads(result.stdout)
    assert not snapshot["problems"]
    assert snapshot["records"]["telemetry.frames"] >= 5
    assert snapshot["sql"]["stored"] >= 0
    assert {"name": "kafka", "state": "RUNNING"}.items() <= next(
        s for s in snapshot["services"] if s["name"] == "kafka"
    ).items()


def test_lag_is_what_a_group_has_not_committed(stack: Instance) -> None:
    settings = KafkaSettings(bootstrap_servers=stack.require("kafka").bootstrap_servers)
    group, topic = f"g{uuid4().hex}", topics.FRAMES.for_site("toptest")
    kafka_admin.apply(settings, ("toptest",))
    kafka.send(kafka.producer(settings), topic, [(b"k", b"v")] * 5)
    source = kafka.consumer(settings, group=group)
    marks = kafka.watermarks(source, topic)
    partition = next(p for p, (low, high) in marks.items() if high - low >= 5)
    source.commit(offsets=[TopicPartition(topic, partition, marks[partition][1] - 4)], asynchronous=False)
    source.close()
    reader = OffsetReader(settings, (group, f"never{group}"))
    ends = reader.ends()
    committed = reader.committed(ends)
    reader.close()
    assert lag(ends, committed[group]) == {topic: 4}
    assert committed[f"never{group}"] == {}
