"""A broker and a Flink cluster for the savepoints: topics filled, jobs submitted and stopped, outputs read.

Jobs are submitted and stopped with the functions of `stack.jobs` only, so however code reaches the TaskManagers is the stack's affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from confluent_kafka import Producer

from base.settings import KafkaSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from connectors.kafka.offsets import OffsetReader
from schemas.topics import Topic
from stack import jobs, plans, render
from stack.config import StackConfig
from stages.outputs import Output
from tests.golden.support import SITE

Record = tuple[str, bytes, bytes]
"""Topic, key, value."""
Place = tuple[str, int]
"""Topic, partition."""


@dataclass(frozen=True, slots=True)
class Configured:
    """Tables of a job's configuration, and where its database is."""

    tables: Mapping[str, Any]
    dsn: str


@dataclass
class Cluster:
    """A broker, a Flink cluster, and a database, for one job after the other or side by side."""

    config: StackConfig
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self.producer = kafka.producer(self.settings)
        kafka_admin.apply(self.settings, [SITE])

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.config.bootstrap_servers)

    def send(self, records: Iterable[Record]) -> None:
        """Records to their topics, as any producer sends them."""
        for topic, key, value in records:
            self.producer.produce(topic, key=key, value=value)
        self.producer.flush()

    def fill(self, lengths: dict[str, dict[str, int]], filler: bytes) -> None:
        """As many fillers as `lengths` says to each partition of each topic."""
        for topic, partitions in lengths.items():
            for partition, count in partitions.items():
                for _ in range(count):
                    self.producer.produce(topic, key=filler, value=filler, partition=int(partition))
        self.producer.flush()

    def compile(self, configured: Mapping[str, Configured]) -> None:
        """Compile jobs before they are submitted, all in one client."""
        with jobs.lock(self.config):
            plans.compile_missing(self.config, [self._submission(job, one) for job, one in configured.items()])

    def submit(self, job: str, configured: Configured) -> str:
        """Submit a job, from its restore point if it has one; its id."""
        wanted = self._submission(job, configured)
        with jobs.lock(self.config):
            job_id = jobs.submit(self.config, job, arguments=wanted.arguments)
        jobs.wait_running(self.config, job_id)
        return job_id

    def _submission(self, job: str, configured: Configured) -> plans.Submission:
        values = {"parallelism": 1, "kafka": {"bootstrap_servers": self.config.bootstrap_servers}}
        file = self.config.config / f"state-{job}.toml"
        render.write(file, values | {"postgres": {"dsn": configured.dsn}} | dict(configured.tables))
        return jobs.submission(self.config, job, arguments=("--config", str(file)))

    def stop(self, job: str) -> Path:
        """Stop a job with a savepoint; its folder."""
        with jobs.lock(self.config):
            savepoint = jobs.stop(self.config, job)
        assert savepoint
        return Path(urlparse(savepoint).path)

    def ends(self) -> dict[Place, int]:
        """End offset of every partition."""
        reader = OffsetReader(self.settings, ())
        try:
            return reader.ends()
        finally:
            reader.close()

    def written(self, rows: Iterable[Topic], after: dict[Place, int]) -> list[Output]:
        """Records on topics behind these offsets, in the order of time."""
        found: list[tuple[int, Output]] = []
        for name in (row.for_site(SITE) for row in rows):
            for message in kafka.read_to_end(self.settings, name):
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                if offset >= after.get((name, partition), 0):
                    output = Output(name, message.key() or b"", message.value() or b"")
                    found.append((message.timestamp()[1], output))
        return [output for _, output in sorted(found, key=lambda item: item[0])]
