"""`restore`: the database of a line under load is destroyed and brought back by the runbook's commands; what it cost is measured.

The line is one of its own. While frames come at a steady rate, commands are submitted and a definition is changed every second, a full
and an incremental backup are made; then the database loses its folder, log and all, and its process is killed, and `backup restore` brings
it back. With `standby` the primary is killed and the standby takes over. The commands are RUNBOOK: `docs/backup.md` is made of them, and a
test holds that.

`samples_lost`, `windows_lost`, `commands_lost` compare what was sent, said and recorded with what is in SQL at the end: all of it comes
from Kafka again. `rpo_entered_s` is the age of the oldest change that was lost of what is only in the database. `rto_s` is the time from
the kill to the first new samples in SQL, `caught_up_s` until everything sent by then is there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import psycopg

from base.errors import MillraceError
from base.ids import now_us, uuid7
from benchmarks import steady, verify, windows
from benchmarks.generate import Expected
from benchmarks.line import Line
from benchmarks.pace import WATCHED, Sender
from benchmarks.workload import SITE, Dirt
from connectors.kafka import client as kafka
from registry import edit
from schemas import codec, topics
from schemas.commands import CommandRequest, CommandStateRecord
from stack import lifecycle, postgres
from stack.config import ROOT
from stack.processes import kill_tree
from stack.render import instance_environment
from stack.supervisor import Supervisor

SERVICES = ("kafka", "postgres", "flink", "maintenance", "job-keeper", "health-watch")
BEFORE = (
    "./millrace backup --full",
    "./millrace backup --incremental",
    "./millrace backup list",
    "./millrace backup verify",
)
RESTORE = ("./millrace backup restore --yes",)
STANDBY = ("./millrace standby create",)
TAKEOVER = ("./millrace standby promote --yes",)
AFTER = ("./millrace recover --dry-run", "./millrace status")
RUNBOOK = (*BEFORE, *RESTORE, *STANDBY, *TAKEOVER, *AFTER)
_LOOK_S = 0.2
_CAUGHT_UP_S = 900.0
_COMMAND_S = 1.0
_EXPIRES_S = 3.0


class DrillError(MillraceError):
    """A command of the runbook failed, or the line did not come back; the message says which."""


@dataclass(kw_only=True)
class Entered:
    """Changes that are only in the database, one a second: number and when it was committed."""

    committed: dict[int, float] = field(default_factory=dict)

    def lost_s(self, surviving: set[int], at_s: float) -> float:
        """Age, at the disaster, of the oldest change that was lost; 0 when none was."""
        lost = [when for number, when in self.committed.items() if number not in surviving and when <= at_s]
        return at_s - min(lost) if lost else 0.0


class Beside:
    """What people do meanwhile, on a thread: a change of a definition and a command each second, while the database is there."""

    def __init__(self, line: Line) -> None:
        self.entered, self.submitted = Entered(), set[UUID]()
        self._line, self._stop = line, threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="drill-people")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            producer, stand_in = kafka.producer(self._line.kafka), self._line.stand_in
            gateway = self._line.workload.gateway_id(0)
            tag_id = int(self._line.tag_ids[gateway][WATCHED])
            number = 0
            while not self._stop.wait(_COMMAND_S):
                number += 1
                request = stand_in.command(_request(gateway, tag_id))
                topic = topics.REQUESTS.for_site(SITE)
                kafka.send(producer, topic, [(str(request.device_id).encode(), request.encode())], timeout_s=30)
                self.submitted.add(request.command_id)
                self._change(tag_id, number)
        except BaseException as error:  # noqa: BLE001 - raised where it is stopped
            self._failure = error

    def _change(self, tag_id: int, number: int) -> None:
        try:
            with psycopg.connect(self._line.dsn, autocommit=True, connect_timeout=2) as connection:
                row = connection.execute("SELECT path FROM tag_definition WHERE tag_id = %s", (tag_id,)).fetchone()
                assert row is not None
                edit.set_attributes(connection, row[0], {"description": str(number)})
        except psycopg.Error:
            return  # the disaster: people see an error and come back
        self.entered.committed[number] = time.time()


@dataclass(kw_only=True)
class Drill:
    """One run on a line; `say` takes lines of progress."""

    line: Line
    standby: bool
    ran: list[dict[str, Any]] = field(default_factory=list)

    def command(self, text: str) -> str:
        """Run a command of the runbook as a person would, on the line under test; its output."""
        words = shlex.split(text)
        began = time.monotonic()
        done = subprocess.run(
            [str(ROOT / words[0].removeprefix("./")), *words[1:]],
            env=os.environ | instance_environment(self.line.config),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        self.ran.append({"command": text, "status": done.returncode, "seconds": round(seconds, 1)})
        self.line.progress.sink(f"    {text}: status {done.returncode} ({seconds:.1f} s)")
        # `status` ends with 4 for a line of which a part was never started.
        if done.returncode and words[1] != "status":
            msg = f"`{text}` ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise DrillError(msg)
        return done.stdout

    def prepare(self) -> None:
        """Backups, or a standby, under load."""
        for text in STANDBY if self.standby else BEFORE:
            self.command(text)

    def destroy(self) -> float:
        """Lose the primary's disk, and kill it. The time at which it was lost."""
        supervisor, folder = Supervisor(self.line.config), postgres.data_dir(self.line.config)
        at_s = time.time()
        folder.rename(folder.with_name("lost"))  # supervisord starts it again at once: it must not find anything
        kill_tree(supervisor.states()["postgres"].pid)
        shutil.rmtree(folder.with_name("lost"))
        self.line.progress.sink("    the primary is dead, its folder deleted")
        return at_s

    def bring_back(self) -> None:
        """By the runbook."""
        for text in TAKEOVER if self.standby else RESTORE:
            self.command(text)


def run(line: Line, dirt: Dirt, *, samples: int, standby: bool, seed: int) -> dict[str, Any]:
    """Start the line, load it, destroy, bring back, compare. `samples` over the whole run, at the workload's rate."""
    lifecycle.up(line.config, line.progress, names=SERVICES)
    drill = Drill(line=line, standby=standby)
    seconds = samples / line.workload.samples_per_s
    plan = steady.plan_of(line, dirt, seconds=seconds, seed=seed)
    with Sender(plan, line.kafka) as sender, Beside(line) as beside:
        _until(lambda: sender.samples > 0.2 * samples and _stored(line) > 0, "the first samples are in SQL")
        drill.prepare()
        _until(lambda: sender.samples > 0.6 * samples, "three fifths are sent")
        if not sender.alive:
            msg = "everything was sent before the disaster, which is to come under load: ask for more with --samples"
            raise DrillError(msg)
        before, sent_before = _stored(line), sender.samples
        dead_s = drill.destroy()
        began = time.monotonic()
        drill.bring_back()
        back_s = time.monotonic() - began
        report = _report(line)
        first = _stored(line)
        # Where nothing is sent any more and the historian was quick, the first look saw everything.
        _until(
            lambda: _stored(line) > first or (not sender.alive and first >= sender.samples), "new samples are in SQL"
        )
        rto_s = time.time() - dead_s
        sent_then = sender.samples
        _until(lambda: _stored(line) >= sent_then, "what was sent meanwhile is in SQL")
        caught_up_s = time.time() - dead_s
        surviving = _changes(line)
        sent = sender.result()
    for text in AFTER:
        drill.command(text)
    expected = sent.expected
    _until(lambda: _stored(line) >= expected.distinct_samples, "everything is in SQL")
    with line.progress.step("verify") as details:
        verdict = verify.compare(line.dsn, expected)
        wrong = windows.wrong(line.dsn, expected)
        commands = _commands(line, beside.submitted)
        ledger = _ledger(line, expected)
        details.append(
            f"{verdict.rows:,} rows, {verdict.lost} lost, {wrong} windows wrong, {commands['lost']} transitions lost"
        )
    rpo_s = beside.entered.lost_s(surviving, dead_s)
    passed = not (verdict.lost or verdict.duplicated or verdict.wrong_cells or wrong or commands["lost"] or not ledger)
    return {
        "standby": standby,
        "samples": expected.distinct_samples,
        "samples_per_s": expected.distinct_samples / plan.seconds,
        "samples_lost": verdict.lost,
        "samples_duplicated": verdict.duplicated,
        "wrong_cells": verdict.wrong_cells,
        "windows_lost": wrong,
        "commands": len(beside.submitted),
        "command_transitions": commands["transitions"],
        "commands_lost": commands["lost"],
        "ledger_exact": ledger,
        "in_sql_before": before,
        "sent_before": sent_before,
        "records_read_again": report["records"],
        "records_gone_from_kafka": sum(one["start"] - one["lost_from"] for one in report["lost"]),
        "entered": len(beside.entered.committed),
        "rpo_entered_s": rpo_s,
        "command_s": back_s,
        "rto_s": rto_s,
        "caught_up_s": caught_up_s,
        "passed": passed,
        "tables": [
            {
                "title": "Commands",
                "columns": ["command", "status", "s"],
                "rows": [[one["command"], one["status"], one["seconds"]] for one in drill.ran],
            }
        ],
    }


def _stored(line: Line) -> int:
    """Samples accounted for in SQL; -1 while the database is away."""
    try:
        with psycopg.connect(line.dsn, connect_timeout=2) as connection:
            row = connection.execute("SELECT coalesce(sum(stored + rejected + suppressed), 0) FROM ledger").fetchone()
    except psycopg.Error:
        return -1
    assert row is not None
    return int(row[0])


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _CAUGHT_UP_S
    while not condition():
        if time.monotonic() > deadline:
            msg = f"not within {_CAUGHT_UP_S:.0f} s: {what}"
            raise DrillError(msg)
        time.sleep(_LOOK_S)


def _report(line: Line) -> dict[str, Any]:
    with psycopg.connect(line.dsn) as connection:
        row = connection.execute("SELECT report FROM recovery_state").fetchone()
    assert row is not None
    return dict(row[0])


def _changes(line: Line) -> set[int]:
    """Numbers of the changes that the database knows: definitions are dated, so each is there."""
    with psycopg.connect(line.dsn) as connection:
        rows = connection.execute("SELECT DISTINCT definition->>'description' FROM tag_history").fetchall()
    return {int(row[0]) for row in rows if str(row[0]).isdigit()}


def _commands(line: Line, submitted: set[UUID]) -> dict[str, int]:
    """Every transition on the topic against the table, once all commands have their outcome."""

    def on_topic() -> set[tuple[UUID, int]]:
        found = set()
        for message in kafka.read_to_end(line.kafka, topics.STATES.name):
            record = CommandStateRecord.from_record(codec.decode(message.value() or b"")[1])
            found.add((record.command_id, record.version))
        return found

    def in_sql() -> set[tuple[UUID, int]]:
        with psycopg.connect(line.dsn) as connection:
            return {
                (row[0], row[1]) for row in connection.execute("SELECT command_id, version FROM commands").fetchall()
            }

    _until(lambda: submitted <= {command_id for command_id, _ in on_topic()}, "every command is recorded")
    said = on_topic()
    deadline = time.monotonic() + 30
    while (lost := said - in_sql()) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return {"transitions": len(said), "lost": len(lost)}


def _ledger(line: Line, expected: Expected) -> bool:
    """Whether the ledger has every frame once: no holes, and the counts of what was made."""
    with psycopg.connect(line.dsn) as connection:
        row = connection.execute(
            """SELECT sum(frames), sum(stored), sum(rejected), bool_and(range_count = 1)
               FROM (SELECT frames, stored, rejected, (SELECT count(*) FROM unnest(sequences)) AS range_count FROM ledger) l"""
        ).fetchone()
    assert row is not None
    return (row[0], row[1], row[2], row[3]) == (
        expected.frames,
        expected.stored_samples,
        expected.rejected_samples,
        True,
    )


def _request(gateway: str, device_id: int) -> CommandRequest:
    now = now_us()
    return CommandRequest(
        command_id=uuid7(),
        device_id=device_id,
        gateway_id=gateway,
        site=SITE,
        name="write",
        parameters={"x": 1.0},
        submitted_by="drill",
        submitted_us=now,
        expires_us=now + int(_EXPIRES_S * 1e6),
    )
