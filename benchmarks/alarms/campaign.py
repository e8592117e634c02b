"""`bench alarms --kills SEED`: one fault after the other on one running example plant, each outcome written as soon as it is known.

Around every fault alarms are raised and acknowledged; a mail server and a webhook of the benchmark's own take notifications, slow or
failing by the seed, the webhook down for the first minutes. A run goes on where its result file stands. `kills` says what must be so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from base import files
from base.settings import KafkaSettings
from benchmarks import beside as telemetry_beside
from benchmarks import conditions, recorded, report
from benchmarks.alarms import caller, excursions, kills, line, record
from benchmarks.alarms.excursions import Excursion, Simulator, Target
from benchmarks.alarms.kills import HOOK, MAIL, NAMES, Fault, Outcome
from benchmarks.alarms.receivers import PASSWORD, HookServer, MailServer, Received
from benchmarks.faults import health, signals
from benchmarks.figures import rounded
from connectors.kafka import client as kafka
from millrace_client import Client, MillraceError
from schemas import topics
from schemas.notifications import AlarmNotification
from stack import jobs, lifecycle, postgres
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.reporting import Progress

__all__ = ["NAMES", "run"]
_PATIENCE_S = 240.0
_STAY_S, _BOUND_S = 10.0, 240.0
"""The line is well when it has been for so long, and does not heal when it is not so long after a fault."""
_SETTLE_S = 90.0
_LOOK_S = 0.5


@dataclass(kw_only=True)
class _Receivers:
    """Of all notifications of a run."""

    mail: MailServer
    hook: HookServer
    until_s: float = 0.0
    """The webhook is down until then, monotonic; 0: it is up."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def routes(self, folder: Path) -> dict[str, Any]:
        """Everybody is told of everything, at once."""
        (folder / "password").write_text(PASSWORD)
        about = {"gather_s": 0.2, "per_minute": 600, "timeout_s": 30}
        mail = {
            "host": "127.0.0.1", "port": self.mail.port, "username": "millrace", "password": f"file:{folder / 'password'}",
            "ca_file": str(self.mail.ca_file), "from": "millrace@plant.example", "to": ["room@plant.example"],
        }  # fmt: skip
        return {
            "targets": {
                MAIL: about | {"email": mail},
                HOOK: about | {"webhook": {"url": f"http://127.0.0.1:{self.hook.port}/alerts"}},
            },
            "routes": [{"name": "all", "steps": [{"tell": [MAIL, HOOK]}]}],
        }

    def up(self) -> bool:
        """Whether the webhook is up; it comes back when its time is over."""
        with self.lock:
            if self.until_s and time.monotonic() >= self.until_s:
                self.hook.open()
                self.until_s = 0.0
            return not self.until_s

    def messages(self, *targets: str) -> dict[str, list[tuple[float, str, list[str]]]]:
        """What has come so far."""
        of: dict[str, Received] = {MAIL: self.mail.received, HOOK: self.hook.received}
        return {name: list(of[name].messages) for name in targets}


@contextmanager
def _receivers(folder: Path, down_s: float) -> Iterator[_Receivers]:
    found = _Receivers(mail=MailServer(folder), hook=HookServer())
    found.mail.open()
    found.hook.open()  # it takes its port
    if down_s:
        found.hook.close()
        found.until_s = time.monotonic() + down_s
    try:
        yield found
    finally:
        found.mail.close()
        if not found.until_s:
            found.hook.close()


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """What is left of the schedule."""
    file = Path(options.json) if options.json else None
    known = kills.read(report.load(file), file.name) if file is not None and file.exists() else []
    faults = kills.schedule(options.kills, only=_words(options.only), kinds=_words(options.kinds))
    todo = kills.left(faults, known)
    progress.sink(f"{len(faults)} kills and pauses, {len(faults) - len(todo)} of them done before")
    at_the_end: list[str] = []
    if todo:
        with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
            known, at_the_end = _campaign(Path(folder), options, todo, known, file, progress)
    found = kills.figures(known) | {"faults_left": len(kills.left(faults, known))}
    found["wrong"] += len(at_the_end)
    return found | {"wrong_at_the_end": at_the_end}


def _campaign(
    folder: Path,
    options: argparse.Namespace,
    todo: Sequence[Fault],
    known: list[Outcome],
    file: Path | None,
    progress: Progress,
) -> tuple[list[Outcome], list[str]]:
    plant = telemetry_beside.example_plant()
    began_s = time.monotonic()
    with (
        _receivers(folder, options.down_min * 60) as receivers,
        line.made_of(plant, excursions.rules(plant), receivers.routes(folder)) as config,
    ):
        lifecycle.up(config, progress)
        if receivers.until_s:
            receivers.until_s = time.monotonic() + options.down_min * 60
        with Client(config.serving_address) as client:
            targets = excursions.targets(client.tags())
        trial = _Trial(config=config, receivers=receivers, targets=targets, raises=options.raises)
        for number, fault in enumerate(todo):
            if options.minutes and time.monotonic() - began_s > options.minutes * 60:
                progress.sink(f"    {options.minutes:g} minutes are over")
                break
            found = trial.run(fault)
            known = [*known, found]
            if file is not None:
                files.replace(file, recorded.dumps({"scenario": "alarms"} | rounded(kills.figures(known))))
            said = f"WRONG: {'; '.join(found.wrong[:5])}" if found.wrong else "as it should be"
            progress.sink(
                f"    {fault.name} {fault.kind}: {found.raised} alarms, {said}; {len(todo) - number - 1} left"
            )
            if found.healed_s is None:
                msg = f"the line is not well after {fault.name} {fault.kind}: {'; '.join(found.problems)}"
                raise StackError(msg)
        with progress.step("webhook"):
            return known, trial.at_the_end()


@dataclass(kw_only=True)
class _Trial:
    """A line that is up, and everything that has been raised on it."""

    config: StackConfig
    receivers: _Receivers
    targets: list[Target]
    raises: int
    done: list[Excursion] = field(default_factory=list)

    def run(self, fault: Fault) -> Outcome:
        """Carry one fault out."""
        began_s, load, when, began_us = time.monotonic(), os.getloadavg()[0], datetime.now(UTC), record.moment_us()
        services, mine = self._services(fault), kills.plan(fault, self.targets, self.raises)
        for name, mood in fault.moods().items():
            received = self.receivers.mail.received if name == MAIL else self.receivers.hook.received
            received.fail, received.slow_s = mood.fail, mood.slow_s
        simulator, start_s = Simulator(self.config), time.monotonic() + 1.0
        call = caller.Call(grpc=self.config.serving_address, faults=simulator, patience_s=_PATIENCE_S, told=self._told)
        thread = _Thread(lambda: asyncio.run(caller.drive(call, mine, begin_s=start_s)))
        thread.start()
        try:
            time.sleep(max(0.0, start_s + kills.LEAD_S - time.monotonic()))
            broken = signals.break_services(self.config, services, fault.pause_s)
            well_s, problems = self._healing(broken.over_s)
        finally:
            thread.join()
            simulator.clear()
        self.done += mine
        wrong, repeats = self._compare(mine, began_us)
        seen = [(one.seen_us - one.put_us) / 1e6 for one in mine if one.seen_us]
        outbox = self._outbox()
        return Outcome(
            seed=fault.seed,
            name=fault.name,
            kind=fault.kind,
            services=list(services),
            time=when.isoformat(timespec="milliseconds"),
            commit=conditions.commit(),
            load=load,
            took_s=time.monotonic() - began_s,
            healed_s=None if well_s is None else well_s - broken.over_s,
            raised=sum(bool(one.seen_us) for one in mine),
            acknowledged=sum(bool(one.acknowledged_seen_us) for one in mine),
            told=kills.of_kind(outbox.values(), mine),
            seen_s_p50=statistics.median(seen) if seen else None,
            seen_s_max=max(seen, default=None),
            repeats=repeats,
            wrong=wrong,
            problems=problems,
        )

    def at_the_end(self) -> list[str]:
        """When the webhook has been back for long enough: whether it has everything, of all faults of the run."""
        record.until(self.receivers.up, timeout_s=max(1.0, self.receivers.until_s - time.monotonic() + 5))
        record.until(lambda: self._closed(self.done, MAIL, HOOK), timeout_s=_SETTLE_S)
        return kills.told_wrongly(self.done, self._outbox(), self.receivers.messages(MAIL, HOOK))[0]

    def _services(self, fault: Fault) -> tuple[str, ...]:
        if fault.name not in kills.OF_JOBS:
            return (fault.name,)
        flink = FlinkRest(self.config.flink_url)
        job = flink.live_job(jobs.flink_name(fault.name))
        hosts = tuple(sorted(flink.hosts_of(job.id))) if job else ()
        if not hosts:
            msg = f"the job {fault.name} runs on no TaskManager"
            raise StackError(msg)
        return hosts

    def _told(self, one: Excursion) -> bool:
        return kills.is_told(one, self.receivers.mail.received.notifications)

    def _healing(self, over_s: float) -> tuple[float | None, list[str]]:
        """Monotonic moment since which the line is well; None when it is not in time, and what was wrong."""
        well_s, over_ms = None, (time.time() - (time.monotonic() - over_s)) * 1000
        while True:
            problems = health.problems(self.config, since_ms=over_ms)
            now_s = time.monotonic()
            well_s = None if problems else well_s or now_s
            if well_s is not None and now_s - well_s >= _STAY_S:
                return well_s, []
            if well_s is None and now_s - over_s > _BOUND_S:
                return None, problems
            self.receivers.up()
            time.sleep(_LOOK_S)

    def _compare(self, mine: Sequence[Excursion], began_us: int) -> tuple[list[str], int]:
        dsn = postgres.dsn(self.config)
        record.until(
            lambda: record.settled(dsn, since_us=began_us, rules=[excursions.RULE], count=len(mine)),
            timeout_s=_SETTLE_S,
        )
        try:
            rows = record.stored(dsn, since_us=began_us, rules=[excursions.RULE])
        except psycopg.OperationalError as error:
            return [f"SQL does not answer: {error}"], 0
        wrong = record.compare(mine, rows) + record.unlike(rows, record.published(self._kafka))
        wrong += self._standing()
        compared = (MAIL, HOOK) if self.receivers.up() else (MAIL,)
        record.until(lambda: self._closed(mine, *compared), timeout_s=_SETTLE_S)
        told, repeats = kills.told_wrongly(mine, self._outbox(), self.receivers.messages(*compared))
        return wrong + told, repeats

    def _standing(self) -> list[str]:
        """Alarms that stand when all are over, as callers are told."""
        try:
            with Client(self.config.serving_address) as client:
                return [f"alarm {one.alarm_id} of {one.path} is {one.state} to callers" for one in client.alarms()]
        except MillraceError as error:
            return [f"serving does not answer: {error}"]

    @property
    def _kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.config.bootstrap_servers)

    def _outbox(self) -> dict[UUID, AlarmNotification]:
        found = dict[UUID, AlarmNotification]()
        for message in kafka.read_to_end(self._kafka, topics.ALARM_NOTIFICATIONS.name):
            if value := message.value():
                one = AlarmNotification.decode(value)
                found[one.notification_id] = one
        return found

    def _closed(self, mine: Sequence[Excursion], *targets: str) -> bool:
        ids = {one.alarm_id for one in mine}
        outbox = self._outbox().values()
        return not any(one.state.open for one in outbox if one.target in targets and one.alarm_id in ids)


class _Thread:
    """A thread whose failure is raised where it is joined."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._failure = work, list[Exception]()
        self._thread = threading.Thread(target=self._run, name="caller")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()
        if self._failure:
            raise self._failure[0]

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - raised by `join`
            self._failure.append(error)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
