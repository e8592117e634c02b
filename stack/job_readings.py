"""Readings of a job for `stack.progress`: Flink's counters, and how far its group has come in Kafka.

A source counts as pending only what it has seen. What waits in topics that a job does not read at all, because it looks for them under a
wrong name or sits before them, shows in Kafka only: the offsets that its group committed, at checkpoints, against the ends.
"""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import Self

from base.settings import KafkaSettings
from connectors.kafka.offsets import OffsetReader, lag
from stack import jobs
from stack.config import StackConfig
from stack.flink_rest import FlinkRest, FlinkUnknownError
from stack.job_counters import JobCounters
from stack.progress import Reading, SourceCount
from stack.supervisor import Supervisor

KAFKA = "kafka group"


class JobReader:
    """Connections for readings of the given jobs. Without a broker in the instance, readings have no Kafka group."""

    def __init__(self, config: StackConfig, names: tuple[str, ...]) -> None:
        self._rest = FlinkRest(config.flink_url)
        self._counters = JobCounters(self._rest)
        broker = Supervisor(config).states().get("kafka")
        self._offsets: OffsetReader | None = None
        if broker is not None and broker.pid:
            settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
            self._offsets = OffsetReader(settings, [jobs.flink_name(name) for name in names])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._offsets is not None:
            self._offsets.close()

    def read(self, name: str, job_id: str) -> Reading:
        """Counters of a job now. FlinkUnavailableError or StackError from Flink, DeliveryError from Kafka."""
        job = next((one for one in self._rest.jobs() if one.id == job_id), None)
        if job is None:
            msg = f"Flink does not know job {name} ({job_id})"
            raise FlinkUnknownError(msg)
        reading = self._counters.reading(job)
        if self._offsets is None:
            return reading
        ends = self._offsets.ends()
        committed = self._offsets.committed(ends)[jobs.flink_name(name)]
        group = SourceCount(records=sum(committed.values()), pending=sum(lag(ends, committed).values()))
        return dataclasses.replace(reading, sources={**reading.sources, KAFKA: group})
