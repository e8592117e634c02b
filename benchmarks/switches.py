"""Stages that can be left out of a run, so that what each costs is known.

Enters: names from the command line. Leaves: what has to be said to the workload, the registry and the jobs for it. What a switch turns
off is written in the table; everything else stays as it is in the default configuration.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import psycopg

from base.errors import ConfigError
from base.settings import KafkaSettings
from benchmarks.workload import Dirt, Workload
from registry.publish import publish

SWITCHES = {
    "detection": "no detectors",
    "windows": "no windows, and so no detectors, which look at closed windows",
    "checks": "no limits, no rate of change, no stuck signals on any tag",
    "copy": "the historian counts in the ledger and copies no samples (historise NONE)",
    "historian": "the telemetry job alone, up to the topic telemetry.validated",
}


def check(names: Collection[str]) -> None:
    """Raise ConfigError for a stage that there is no switch for."""
    for name in names:
        if name not in SWITCHES:
            msg = f"no stage {name!r}; there are {', '.join(SWITCHES)}"
            raise ConfigError(msg)


def apply(workload: Workload, dirt: Dirt, names: Collection[str]) -> tuple[Workload, Dirt]:
    """Workload and dirt of a run without these stages: without checks nothing is out of range."""
    check(names)
    if "checks" in names:
        dirt = dataclasses.replace(dirt, out_of_range=0.0)
    return dataclasses.replace(workload, without=tuple(names)), dirt


@contextmanager
def job_settings(names: Collection[str]) -> Iterator[None]:
    """Environment in which the jobs have to be submitted."""
    variables = {"MILLRACE_JOBS_TELEMETRY_DETECTION_ENABLED": "false"} if {"detection", "windows"} & set(names) else {}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def edit_registry(dsn: str, kafka: KafkaSettings, names: Collection[str]) -> None:
    """Take the windows off all tags. Plant files must have them, because hours are rolled up from minutes."""
    if "windows" not in names:
        return
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE registry_state SET version = version + 1")
        connection.execute("UPDATE tags SET windows_s = '{}', registry_version = (SELECT version FROM registry_state)")
    publish(dsn, kafka)
