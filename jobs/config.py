"""Configuration of the jobs: one TOML file of one shape for all of them, so that a cluster can be given one file.

Environment variables `MILLRACE_JOBS_<TABLE>_<KEY>` override it where the job is submitted
(`MILLRACE_JOBS_POSTGRES_DSN` from a secret).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from base import settings
from base.settings import KafkaSettings, PostgresSettings
from jobs.batching import BatchConfig
from schemas.signing_keys import SignatureSettings
from stages.alarms.config import AlarmConfig
from stages.commands.config import CommandConfig
from stages.config import TelemetryConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """Everything a job can be told."""

    kafka: KafkaSettings
    postgres: PostgresSettings = field(default_factory=lambda: PostgresSettings(dsn=""))
    parallelism: int = 1
    signatures: SignatureSettings = field(default_factory=SignatureSettings)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    historian: BatchConfig = field(default_factory=BatchConfig)
    commands: CommandConfig = field(default_factory=CommandConfig)
    alarms: AlarmConfig = field(default_factory=AlarmConfig)


def from_arguments(job: str, arguments: Sequence[str] | None = None) -> JobConfig:
    """Configuration named on the command line of a job; raises ConfigError."""
    parser = argparse.ArgumentParser(prog=f"jobs.{job}", description=f"The {job} job, for `flink run`.")
    parser.add_argument("--config", required=True, metavar="FILE", help="TOML file; see jobs.config.JobConfig")
    return settings.load(JobConfig, parser.parse_args(arguments).config, service="jobs")
