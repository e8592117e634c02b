"""Savepoints of the three jobs on a real cluster: taken, packed, and gone on from.

A packed savepoint is `savepoint-<job>.tar.xz`: Flink's own files under `savepoint/`, and `follow.json`, which says how the topics
looked and what comes next. The sources' offsets are in the savepoint, so the topics of the broker that a job is restored on have
to be as long: what had been read is filled up with records that no job can read, so a job that starts too early gives itself
away. Only `registry.tags`, which the telemetry job reads again at each start, has its real records.

Clocks of a cluster are real. Whatever a job concludes from silence is set out of reach (`config_of`), so the outcome does not
depend on how long ago a savepoint was taken; the operators' own fixtures (`tests.state.keyed`) have the rest.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base import ids
from connectors.kafka.client import DeliveryError
from connectors.kafka.offsets import OffsetReader
from historian import positions
from historian.migrator import migrate
from jobs import commands, historian, telemetry
from schemas import topics
from schemas.topics import Topic
from stack import flink, instance, jobs, postgres, postgres_roles
from tests.contract.golden_files import from_json, to_json
from tests.golden.support import SITE, us
from tests.integration.polling import eventually
from tests.state import command_scenarios, outcome
from tests.state.cluster import Cluster, Configured, Place, Record
from tests.state.history_outcome import history
from tests.state.stored import expected_file, pack, read_expected, unpack
from tests.state.workload import CUT_S, Registered, Sent, Workload, config

NAMES = ("historian", "telemetry", "commands")
"""In the order in which they are restored on one broker: the historian reads what the telemetry job writes."""
FILLER = b"read before the savepoint was taken"
NO_DATABASE = "host=127.0.0.1 port=1 dbname=away"
NEVER_S = 1e9
_NEVER_MS = 1_000_000_000_000
_RENAMED = {"settle_ms": "startup_grace_ms"}
"""Settings that have another name than the stored configuration of an older version has."""
_PATIENCE_S, _QUIET_S = 90.0, 15.0
_READS = {
    "telemetry": (telemetry.NAME, (topics.FRAMES, topics.TAGS)),
    "commands": (commands.NAME, commands.INPUTS),
    "historian": (historian.NAME, positions.INPUTS),
}
_WRITES: dict[str, tuple[Topic, ...]] = {"telemetry": telemetry.OUTPUTS, "commands": commands.OUTPUTS, "historian": ()}


def config_of(job: str) -> dict[str, Any]:
    """Tables of a job's configuration in which nothing follows from silence."""
    if job == "telemetry":
        tables: dict[str, Any] = config()
        tables["telemetry"] |= {
            "windows": {"idle_s": NEVER_S, "forget_idle_s": NEVER_S},
            "hold": {"max_seconds": NEVER_S},
            "progress_interval_s": 0.2,
            "progress_quiet_interval_s": 0.2,
        }
        return tables
    if job == "commands":
        names = ("resend_after_ms", "outcome_timeout_ms", "orphan_after_ms", "retention_ms")
        return {"commands": dict.fromkeys(names, _NEVER_MS) | {"startup_grace_ms": 1000, "expiry_grace_ms": 1000}}
    return {}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An unpacked savepoint. `consumed` has, by topic and partition, how many records had been read."""

    job: str
    folder: Path
    config: dict[str, Any]
    consumed: dict[str, dict[str, int]]
    registry: list[Record]
    follow: list[Record]
    begun_before_us: int = 0

    @property
    def savepoint(self) -> Path:
        return self.folder / "savepoint"

    @classmethod
    def unpacked(cls, archive: Path, folder: Path) -> Stored:
        """Read `savepoint-<job>.tar.xz`."""
        unpack(archive, folder)
        read: dict[str, Any] = from_json(json.loads((folder / "follow.json").read_text()))
        for name in ("registry", "follow"):
            read[name] = [tuple(record) for record in read[name]]
        return cls(folder=folder, **read)

    def write(self, archive: Path) -> None:
        """Inverse of `unpacked`; raises FileExistsError."""
        names = ("job", "config", "consumed", "registry", "follow", "begun_before_us")
        text = json.dumps(to_json({name: getattr(self, name) for name in names} | self._lists()))
        (self.folder / "follow.json").write_text(text)
        pack(self.folder, archive)

    def _lists(self) -> dict[str, Any]:
        return {name: [list(record) for record in getattr(self, name)] for name in ("registry", "follow")}


# --- taking them --------------------------------------------------------------------------------------------------------------


def _telemetry_records(workload: Iterable[Registered | Sent]) -> list[Record]:
    found: list[Record] = []
    for each in workload:
        if isinstance(each, Registered):
            found += [(topics.TAGS.name, key, value) for key, value in each.messages]
        else:
            found.append((topics.FRAMES.for_site(SITE), each.key, each.value))
    return found


def plan(job: str, messages: tuple[list[Record], list[Record]]) -> tuple[list[Record], list[Record]]:
    """What a job reads before its savepoint, and after it. `messages` are the historian's."""
    if job == "telemetry":
        # No machine with modes and no open episode: a minute without data by the clock of the wall ends both.
        workload = Workload(modes=False, open_at_cut=False)
        return _telemetry_records(workload.first()), _telemetry_records([*workload.second(), *workload.closing()])
    if job == "commands":
        return command_scenarios.records_before(ids.now_us()), command_scenarios.records_after()
    return messages


def take(job: str, archive: Path, messages: tuple[list[Record], list[Record]]) -> None:
    """Run a job on a cluster of its own over its first part and pack the savepoint it is stopped with."""
    with instance.temporary() as running, tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(running.require("kafka", "jobmanager", "taskmanager-1"))
        # The historian's database is away, so what it read stays in its state.
        cluster.submit(job, Configured(config_of(job), NO_DATABASE))
        first, second = plan(job, messages)
        cluster.send(first)  # the registry by broadcast
        _wait_read(cluster, job)
        shutil.copytree(cluster.stop(job), Path(folder) / "savepoint")
        lengths: dict[str, dict[str, int]] = {}
        for (topic, partition), end in sorted(cluster.ends().items()):
            if end and topic != topics.TAGS.name and any(topic == row.for_site(SITE) for row in _READS[job][1]):
                lengths.setdefault(topic, {})[str(partition)] = end
        Stored(
            job=job,
            folder=Path(folder),
            config=config_of(job),
            consumed=lengths,
            registry=[record for record in first if record[0] == topics.TAGS.name],
            follow=second,
            begun_before_us=us(CUT_S),
        ).write(archive)
        del cluster


def _wait_read(cluster: Cluster, job: str) -> None:
    """Until a checkpoint has everything that was sent."""
    group, rows = _READS[job]
    reader = OffsetReader(cluster.settings, (group,))
    names = {row.for_site(SITE) for row in rows} - {topics.TAGS.name}
    try:

        def read() -> bool:
            ends = {place: end for place, end in reader.ends().items() if place[0] in names and end}
            try:
                committed = reader.committed(ends)[group]
            except DeliveryError:  # a broker that has just started moves the group's coordinator once
                return False
            return bool(ends) and all(committed.get(place, 0) >= end for place, end in ends.items())

        eventually(read, timeout_s=120, period_s=0.5, what=f"{job} has read everything")
    finally:
        reader.close()


# --- going on from them -------------------------------------------------------------------------------------------------------


@dataclass
class Restored:
    """A job that goes on from a stored savepoint on a cluster."""

    cluster: Cluster
    stored: Stored
    before: dict[Place, int]
    dsn: str

    def outcome(self) -> dict[str, Any]:
        """What it has made of its input so far."""
        job = self.stored.job
        if job == "historian":
            return history(self.dsn)
        outputs = self.cluster.written(_WRITES[job], self.before)
        if job == "telemetry":
            return outcome.telemetry(outputs, begun_before_us=self.stored.begun_before_us)
        own = [output for output in outputs if (output.key, output.value) not in self._sent]
        return outcome.commands(own, times=False)

    @property
    def _sent(self) -> set[tuple[bytes, bytes]]:
        """What the commands job reads from the topic that it also writes."""
        return {(key, value) for _, key, value in self.stored.follow}


def resume(folder: Path) -> dict[str, dict[str, Any]]:
    """Outcome of going on from each savepoint in `folder`, by the name of its file, all on one cluster.

    A job is restored when the one before it has read what follows: the historian reads what the others write as well. At the end the
    stored outcome of each is waited for, in vain when it does not come; without one, a job is given time until nothing more happens.
    """
    names = {job: f"savepoint-{job}" for job in NAMES if (folder / f"savepoint-{job}.tar.xz").exists()}
    with instance.temporary(taskmanagers=len(NAMES)) as running, tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(running.require("kafka", "flink", "postgres"))
        stored = [Stored.unpacked(folder / f"{name}.tar.xz", Path(scratch) / job) for job, name in names.items()]
        for each in stored:
            cluster.send(each.registry)
            cluster.fill(each.consumed, FILLER)
        cluster.compile({each.job: _configured(cluster, each) for each in stored})
        restored = []
        for each in stored:
            restored.append(go_on(cluster, each))
            if expected_file(folder, names[each.job]).exists():
                _wait_read(cluster, each.job)
            else:
                _wait(restored[-1], None)
        for one in restored:
            if expected_file(folder, names[one.stored.job]).exists():
                _wait(one, read_expected(folder, names[one.stored.job]))
        for each in stored:
            if each.job != "historian":  # its outcome is in the database, and is there once it is complete
                cluster.stop(each.job)
        found = {names[each.stored.job]: each.outcome() for each in restored}
        del cluster, restored  # or their producer complains about the broker that is gone
    return found


def go_on(cluster: Cluster, stored: Stored) -> Restored:
    """Restore a job from its savepoint and send it what follows. The job goes on running."""
    job, configured = stored.job, _configured(cluster, stored)
    if job == "historian":
        postgres_roles.create_database(cluster.config)
        migrate(configured.dsn, timescaledb=cluster.config.timescaledb)
    target = flink.savepoint_dir(cluster.config) / f"savepoint-stored-{job}"
    shutil.copytree(stored.savepoint, target)
    with jobs.lock(cluster.config):
        jobs.go_on_from(cluster.config, job, target.as_uri())
    restored = Restored(cluster, stored, cluster.ends(), configured.dsn)
    cluster.submit(job, configured)
    cluster.send(stored.follow)
    return restored


def _configured(cluster: Cluster, stored: Stored) -> Configured:
    dsn = postgres.dsn(cluster.config) if stored.job == "historian" else NO_DATABASE
    return Configured(_present(stored.config), dsn)


def _present(tables: dict[str, Any]) -> dict[str, Any]:
    """A stored configuration with the names that settings have now."""
    return {
        _RENAMED.get(name, name): _present(value) if isinstance(value, dict) else value
        for name, value in tables.items()
    }


def _wait(restored: Restored, expected: dict[str, Any] | None) -> None:
    """See `resume`."""
    started = since = time.monotonic()
    last: dict[str, Any] | None = None

    def done() -> bool:
        nonlocal last, since
        found, now = restored.outcome(), time.monotonic()
        if expected is not None:
            return now - started > _PATIENCE_S or next(outcome.differences(found, expected), None) is None
        if found != last:
            last, since = found, now
        return now - since > _QUIET_S

    eventually(done, timeout_s=2 * _PATIENCE_S, period_s=0.5, what=f"{restored.stored.job} has done")
