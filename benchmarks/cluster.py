"""A Flink cluster of an instance with one job on it, ours or a script of the benchmarks.

Scenarios that measure the telemetry job alone, or something in its place, start the cluster without submitting the platform's jobs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stack import flink, jobs, lifecycle
from stack.config import ROOT, StackConfig
from stack.reporting import Progress
from stack.services import select

PLACE = "telemetry"
"""Job whose configuration, slots and name are used."""
_GONE_S = 60.0


def start(config: StackConfig, progress: Progress, settings: Mapping[str, str] | None = None) -> None:
    """JobManager and TaskManagers; broker and database run. `settings` are Flink's, beside those of flink-conf."""
    names = ("owner-watch", "kafka", "postgres", "flink")
    lifecycle.prepare(config, progress, names=names)
    if settings:
        flink.prepare(config, settings)
    lifecycle.start(config, progress, (service for service in select(config, ("flink",))))


def submit(
    config: StackConfig, progress: Progress, *, script: str = "", arguments: tuple[str, ...] | None = None
) -> str:
    """Submit the telemetry job, or a script of `benchmarks/flink` under its name; returns the job id once all tasks run."""
    path = ROOT / "benchmarks" / "flink" / script if script else None
    with progress.step(f"job {script or PLACE}") as details:
        with jobs.lock(config):
            job_id = jobs.submit(config, PLACE, script=path, arguments=arguments)
        details.append(job_id)
    return job_id


def cancel(config: StackConfig) -> None:
    """Cancel all jobs, so that nothing else uses the machine; the cluster goes on without them."""
    with jobs.lock(config):
        for name in jobs.JOBS:
            jobs.cancel(config, name)


def remove(config: StackConfig) -> None:
    """Cancel what runs in that place, and forget how far it was, in Flink and in Kafka: the next job starts at the beginning."""
    with jobs.lock(config):
        jobs.cancel(config, PLACE)
        (config.data / "flink" / "jobs.json").unlink(missing_ok=True)
    admin = AdminClient({"bootstrap.servers": config.bootstrap_servers, "log_level": 3})
    group, deadline = jobs.flink_name(PLACE), time.monotonic() + _GONE_S
    while group in {one.group_id for one in admin.list_consumer_groups().result(_GONE_S).valid}:
        try:
            admin.delete_consumer_groups([group])[group].result(_GONE_S)
        except KafkaException:  # the broker still counts the members that are gone
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
