"""The line under test: an instance of the stack of its own, with a workload's plant in its registry and a preloaded topic.

Scenarios enter with a Workload; the line behind Kafka is the real one (broker, Flink jobs, PostgreSQL), the frames come from `generate`
instead of gateways. Everything is stopped and deleted at the end.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import yaml
from numpy.typing import NDArray

from base.errors import OverloadedError
from base.settings import KafkaSettings
from benchmarks import workload as workloads
from benchmarks.generate import Expected, Message, generate, signed
from benchmarks.workload import Dirt, Workload
from connectors.kafka import client as kafka
from schemas import topics
from stack import instance, lifecycle, postgres
from stack.config import TOOLS, Memory, Parallelism, StackConfig
from stack.reporting import Progress
from stack.stand_in import StandIn

log = logging.getLogger(__name__)

_MEMORY = Memory(kafka_heap_mb=768, jobmanager_mb=1024, taskmanager_mb=1536, postgres_shared_buffers_mb=1024)
_BYTES_PER_SAMPLE = 120
"""Disk: 21 B in Kafka twice (frames and validated), 52 B a row in PostgreSQL and the write-ahead log in between."""


@dataclass(kw_only=True)
class Line:
    """A running line and what its workload is."""

    workload: Workload
    running: instance.Instance
    progress: Progress
    tag_ids: Mapping[str, NDArray[np.int32]]
    registry_version: int

    @property
    def config(self) -> StackConfig:
        """Addresses of the instance."""
        return self.running.config

    @property
    def dsn(self) -> str:
        """Connection string of the database's owner."""
        return postgres.dsn(self.config)

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker."""
        return KafkaSettings(bootstrap_servers=self.config.bootstrap_servers)

    @property
    def stand_in(self) -> StandIn:
        """Signs for the gateways of the workload."""
        return StandIn.of(self.config)

    @property
    def largest_tag_id(self) -> int:
        """Size of arrays that are indexed by tag id, less one."""
        return max(int(ids.max()) for ids in self.tag_ids.values())

    def messages(
        self, dirt: Dirt, *, seconds: float, start_us: int, seed: int, expected: Expected | None = None
    ) -> Iterator[Message]:
        """The workload's messages, see `generate`; `expected` is filled as they are made."""
        return generate(
            self.workload,
            dirt,
            tag_ids=self.tag_ids,
            seconds=seconds,
            start_us=start_us,
            seed=seed,
            expected=expected or Expected.of(self.largest_tag_id, start_us, seconds),
            registry_version=self.registry_version,
        )

    def preload(self, dirt: Dirt, *, seconds: float, start_us: int, seed: int) -> Expected:
        """Write the workload's frames to their topic, as fast as the broker takes them; returns what must come out."""
        expected = Expected.of(self.largest_tag_id, start_us, seconds)
        messages = self.messages(dirt, seconds=seconds, start_us=start_us, seed=seed, expected=expected)
        with self.progress.step("preload") as details:
            self._produce(signed(messages, self.stand_in))
            details.append(f"{expected.distinct_samples / 1e6:.1f} M samples in {expected.messages} records")
        return expected

    def start_jobs(self) -> None:
        """Start the Flink cluster and submit the jobs."""
        lifecycle.up(self.config, self.progress, names=("kafka", "postgres", "flink"))

    def _produce(self, messages: Iterator[Message]) -> None:
        producer = kafka.producer(self.kafka, compression_type="none", queue_buffering_max_kbytes=256 << 10)
        topic = topics.FRAMES.for_site(workloads.SITE)
        kafka.send(producer, topic, ((message.key, message.value) for message in messages), timeout_s=120)


@contextmanager
def line(
    workload: Workload,
    *,
    samples: float,
    parallelism: Parallelism,
    spare: int = 0,
    timescaledb: str = "auto",
    signatures: str = "off",
    log_to: Progress,
) -> Iterator[Line]:
    """Broker, database, topics and registry; the jobs are started by `Line.start_jobs`.

    `samples` is for the check of the disk; `spare`: TaskManagers beside those that the jobs need.
    """
    _check_disk(samples)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        plant = Path(folder) / "plant.yaml"
        plant.write_text(yaml.safe_dump(workloads.plant(workload), sort_keys=False))
        settings: dict[str, Any] = {
            "plant": plant,
            "memory": _MEMORY,
            "parallelism": parallelism,
            "taskmanagers": parallelism.total + spare,
            "timescaledb": timescaledb,
            "signatures": signatures,
        }
        with instance.temporary(folder=TOOLS / "bench", **settings) as running:
            lifecycle.up(running.config, log_to, names=("owner-watch", "kafka", "postgres"))
            tag_ids, version = tag_ids_of(postgres.dsn(running.config))
            try:
                yield Line(
                    workload=workload, running=running, progress=log_to, tag_ids=tag_ids, registry_version=version
                )
            except Exception:
                kept = _keep_logs(running.config)
                log_to.sink(f"    the logs of what failed are in {kept.relative_to(TOOLS.parent)}")
                raise


def _keep_logs(config: StackConfig) -> Path:
    """The instance is deleted, and with it what would say why a run failed."""
    kept = TOOLS / "bench-failed"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(config.logs, kept)
    return kept


def tag_ids_of(dsn: str) -> tuple[dict[str, NDArray[np.int32]], int]:
    """Tag ids by gateway, in order of devices, and the registry's version."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT gateway_id, array_agg(tag_id ORDER BY device_id, tag_id) FROM tags JOIN devices USING (device_id) GROUP BY gateway_id"
        ).fetchall()
        version = connection.execute("SELECT version FROM registry_state").fetchone()
    assert version is not None
    return {gateway: np.array(ids, dtype=np.int32) for gateway, ids in rows}, version[0]


def _check_disk(samples: float) -> None:
    needed = samples * _BYTES_PER_SAMPLE
    free = shutil.disk_usage(TOOLS.parent).free
    if free < needed * 1.2:
        msg = f"{needed / 1e9:.0f} GB are needed and {free / 1e9:.0f} GB are free: run fewer --seconds"
        raise OverloadedError(msg)
